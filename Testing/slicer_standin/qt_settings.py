"""Settings in a file of the test's own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PySide6 import QtCore

from .qt_objects import refuse_foreign


class QSettings(QtCore.QSettings):
    """Slicer's are INI files: what was written comes back as text, and lists as tuples of texts."""

    _file = Path(tempfile.gettempdir()) / "medsegtrainer-slicer-standin.ini"

    def __init__(self, *arguments: Any) -> None:
        refuse_foreign("QSettings", arguments, {})
        if arguments:
            super().__init__(*arguments)
        else:
            super().__init__(str(QSettings._file), QtCore.QSettings.IniFormat)

    def value(self, key: str, default: Any = None) -> Any:
        stored = super().value(key, default)
        return as_ini_text(stored) if super().contains(key) else stored


def use_settings_file(path: Path) -> None:
    """Settings opened from now on are read from ``path``, which need not exist."""
    QSettings._file = path


def as_ini_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return tuple(as_ini_text(item) for item in value)
    return value
