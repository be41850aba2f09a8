"""Settings in a file of the test's own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from PySide6 import QtCore

from .qt_objects import refuse_foreign


class QSettings(QtCore.QSettings):
    """Slicer's are INI files: values keep their type until ``restart``, then come back as text, lists as tuples."""

    _file = Path(tempfile.gettempdir()) / "medsegtrainer-slicer-standin.ini"
    _of_this_session: ClassVar[set[str]] = set()

    def __init__(self, *arguments: Any) -> None:
        refuse_foreign("QSettings", arguments, {})
        if arguments:
            super().__init__(*arguments)
        else:
            super().__init__(str(QSettings._file), QtCore.QSettings.IniFormat)

    def value(self, key: str, default: Any = None) -> Any:
        stored = super().value(key, default)
        if key in QSettings._of_this_session:
            return tuple(stored) if isinstance(stored, list) else stored
        return as_ini_text(stored) if super().contains(key) else stored

    def setValue(self, key: str, value: Any) -> None:
        QSettings._of_this_session.add(key)
        super().setValue(key, value)


def use_settings_file(path: Path) -> None:
    """Settings opened from now on are read from ``path``, which need not exist."""
    QSettings._file = path
    restart()


def restart() -> None:
    """As when the application was started anew."""
    QSettings._of_this_session.clear()


def as_ini_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return tuple(as_ini_text(item) for item in value)
    return value
