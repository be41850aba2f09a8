"""Dialogs that would wait for a person: a test says beforehand what is chosen."""

from __future__ import annotations

from collections import deque
from typing import Any

from PySide6 import QtWidgets

from . import failures

_answers: deque[Any] = deque()
asked: list[str] = []


def answer(*choices: Any) -> None:
    """What the next dialogs give: a path, a tuple of paths, a text, or a standard button."""
    _answers.extend(choices)


def forget() -> None:
    _answers.clear()
    asked.clear()


def _next(question: str, otherwise: Any) -> Any:
    asked.append(question)
    if _answers:
        return _answers.popleft()
    failures.note(f"A dialog would wait for a person, and no answer was prepared: {question}")
    return otherwise


class QFileDialog(QtWidgets.QFileDialog):
    """The static functions give only the path, not the filter, and several paths as a tuple."""

    @staticmethod
    def getOpenFileName(parent: Any = None, caption: str = "", directory: str = "", filters: str = "", *_: Any) -> str:
        return str(_next(caption, ""))

    @staticmethod
    def getSaveFileName(parent: Any = None, caption: str = "", directory: str = "", filters: str = "", *_: Any) -> str:
        return str(_next(caption, ""))

    @staticmethod
    def getExistingDirectory(parent: Any = None, caption: str = "", directory: str = "", *_: Any) -> str:
        return str(_next(caption, ""))

    @staticmethod
    def getOpenFileNames(parent: Any = None, caption: str = "", directory: str = "", *_: Any) -> tuple[str, ...]:
        return tuple(str(path) for path in _next(caption, ()))


class QInputDialog(QtWidgets.QInputDialog):
    """The static functions give only the value: the flag for OK is a pointer, which PythonQt does not give back."""

    @staticmethod
    def getText(parent: Any, title: str, label: str, *_: Any) -> str:
        return str(_next(label, ""))

    @staticmethod
    def getItem(parent: Any, title: str, label: str, items: Any, *_: Any) -> str:
        return str(_next(label, ""))


class QMessageBox(QtWidgets.QMessageBox):
    """Never waits."""

    def exec(self) -> Any:
        return _next(str(self.text), QtWidgets.QMessageBox.Cancel)

    exec_ = exec

    @staticmethod
    def _static(parent: Any, title: str, text: str, *_: Any) -> Any:
        return _next(text, QtWidgets.QMessageBox.Cancel)

    information = question = warning = critical = _static
