"""What Slicer only prints and then goes on: exceptions in slots and observers, misspelt signals."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

_noted: list[str] = []


def note(text: str) -> None:
    """Remembers a failure and prints it, as Slicer does."""
    _noted.append(text)
    print(text, file=sys.stderr)


def note_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What PythonQt and VTK call for an exception that nobody can catch; fits ``sys.excepthook``."""
    note("".join(traceback.format_exception(kind, error, trace)))


def take() -> list[str]:
    """The failures since the last call."""
    taken = _noted[:]
    _noted.clear()
    return taken
