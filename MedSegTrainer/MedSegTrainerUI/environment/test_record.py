"""What is noted about a tested interpreter, and how it is told that it is still the same.

Only the standard library is imported.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from MedSegTrainerLib import __version__
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import read_json_file


def identity(python: Path) -> dict[str, Any]:
    """What tells that an interpreter is still the one that was tested; asks only for times of files."""
    root = python.parent.parent
    watched = (
        python,
        root / "pyvenv.cfg",
        *sorted(root.glob("lib/python3*/site-packages")),
        root / "Lib" / "site-packages",
    )
    times = {}
    for path in watched:
        with suppress(OSError):
            times[str(path)] = path.stat().st_mtime_ns
    return {"python": str(python), "library": __version__, "times": times}


def requirements_hash(path: Path) -> str:
    """Changes when other packages are asked for, and not when a comment does."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return hashlib.sha256("\n".join(filter(None, lines)).encode()).hexdigest()


def record_name(venv: Path, python: Path) -> str:
    return "tested.json" if python == venv_python(venv) else "tested-other.json"


def venv_python(venv: Path) -> Path:
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file, empty where there is none that can be read."""
    try:
        value = read_json_file(path)
    except (OSError, UsageError):
        return {}
    return value if isinstance(value, dict) else {}
