"""The line in a section that tells the user what is wrong and what to do, and what turns errors into it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Concatenate, Protocol, TypeVar

import qt
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerUI.slicer_types import Widget

# dark words on a light ground in both the light and the dark theme of Slicer
STYLES = {
    "note": "background-color: #e4eefb; color: #143a66; border-left: 4px solid #3b78c3; padding: 4px;",
    "warning": "background-color: #fdf1d3; color: #5a3d00; border-left: 4px solid #d99a1c; padding: 4px;",
    "error": "background-color: #fbe3e4; color: #7a1016; border-left: 4px solid #c62832; padding: 4px;",
}


class Telling(Protocol):
    """What can show a message to the user."""

    def tell(self, text: str, severity: str = "error") -> None: ...


Section = TypeVar("Section", bound=Telling)
Result = TypeVar("Result")


def show_message(label: Widget, text: str, severity: str = "error") -> None:
    """Shows ``text`` in a QLabel; '' hides it. ``severity``: note, warning or error."""
    label.setTextFormat(qt.Qt.PlainText)  # names of files and segments may look like tags
    label.wordWrap = True
    label.text = text
    if label.styleSheet != STYLES[severity]:  # Qt would lay the label out anew
        label.styleSheet = STYLES[severity]
    label.visible = bool(text)


def allow(button: Widget, reason: str | bool, tip: str) -> None:
    """Enables a button where ``reason`` is empty; its tooltip says why not, or what the button does."""
    button.enabled = not reason
    button.toolTip = reason or tip


def report_errors(
    method: Callable[Concatenate[Section, ...], Result],
) -> Callable[Concatenate[Section, ...], Result | None]:
    """A method of a section, called by Qt or VTK, whose errors are told to the user by the section's ``tell``.

    What the caller gives beyond the arguments of ``method`` is dropped, as PythonQt does for plain functions.
    """
    taken = method.__code__.co_argcount - 1

    @functools.wraps(method)
    def wrapper(self: Section, *arguments: object) -> Result | None:
        try:
            return method(self, *arguments[:taken])
        except MedSegError as error:
            self.tell(str(error))
        except Exception as error:
            logging.exception("MedSegTrainer: %s failed", method.__qualname__)
            text = _("This did not work, by a mistake in MedSegTrainer: {error}. The error log of Slicer tells more.")
            self.tell(text.format(error=error))
        return None

    return wrapper
