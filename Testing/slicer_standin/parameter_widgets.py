"""Which widgets show which types of parameters; exact classes, as in Slicer."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ctk
import qt
import slicer

from .parameter_values import Choice, Maximum, Minimum, Parameter, WithinRange

ANY_INT = 2**31


@dataclass
class Connector:
    """A widget with how its value is read, written and watched."""

    widget: Any
    signal: str
    read: Callable[[], Any]
    write: Callable[[Any], None]

    def watch(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.widget.connect(self.signal, callback)

    def forget(self) -> None:
        self.widget.disconnect(self.signal, self._callback)


def connector(widget: Any, parameter: Parameter) -> Connector:
    """Raises RuntimeError for a pair of widget and type that Slicer does not connect."""
    for widgets, fits, make in _RULES:
        if type(widget) in widgets and fits(parameter.kind):
            return make(widget, parameter)
    raise RuntimeError(f"Unable to create GUI connector from {parameter.hint} to {type(widget).__name__}")


def _attribute(name: str, signal: str) -> Callable[[Any, Parameter], Connector]:
    """A connector to a property, written only where it differs: writing a text moves the cursor."""

    def make(widget: Any, parameter: Parameter) -> Connector:
        def write(value: Any) -> None:
            text_or_number = str(value) if isinstance(value, pathlib.PurePath) else value
            if getattr(widget, name) != text_or_number:
                setattr(widget, name, text_or_number)

        return Connector(widget, signal, lambda: parameter.kind(getattr(widget, name)), write)

    return make


def _number(signal: str) -> Callable[[Any, Parameter], Connector]:
    def make(widget: Any, parameter: Parameter) -> Connector:
        notes = parameter.notes
        lowest = [note.minimum for note in notes if isinstance(note, WithinRange | Minimum)]
        highest = [note.maximum for note in notes if isinstance(note, WithinRange | Maximum)]
        if type(widget) in (qt.QSlider, ctk.ctkSliderWidget) and not (lowest and highest):
            raise RuntimeError(
                f"{type(widget).__name__} for {parameter.name} needs WithinRange, or Minimum and Maximum"
            )
        unbounded = ANY_INT if isinstance(widget, qt.QSlider | qt.QSpinBox) else float("inf")
        widget.minimum = lowest[0] if lowest else -unbounded
        widget.maximum = highest[0] if highest else unbounded - (unbounded == ANY_INT)
        return _attribute("value", signal)(widget, parameter)

    return make


def _checkable(widget: Any, parameter: Parameter) -> Connector:
    widget.checkable = True
    return _attribute("checked", "toggled(bool)")(widget, parameter)


def _choices(widget: Any, parameter: Parameter) -> Connector:
    if isinstance(parameter.kind, type) and issubclass(parameter.kind, enum.Enum):
        label = getattr(parameter.kind, "label", lambda item: item.name)
        values = {label(item): item for item in parameter.kind}
    else:
        given = [note for note in parameter.notes if isinstance(note, Choice)]
        if not given:
            raise RuntimeError(f"A combo box for {parameter.name} needs the annotation Choice")
        values = {str(item): item for item in given[0].choices}
    order = list(values.values())
    widget.clear()
    for text in values:
        widget.addItem(text)

    def write(value: Any) -> None:
        widget.currentIndex = order.index(value)

    return Connector(widget, "currentIndexChanged(int)", lambda: order[widget.currentIndex], write)


def _node(widget: Any, parameter: Parameter) -> Connector:
    return Connector(widget, "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode)


def _text_edit(widget: Any, parameter: Parameter) -> Connector:
    return _attribute("plainText", "textChanged()")(widget, parameter)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda kind: kind in kinds


def _is_kind_of(base: type) -> Callable[[Any], bool]:
    return lambda kind: isinstance(kind, type) and issubclass(kind, base)


_RULES: list[tuple[tuple[type, ...], Callable[[Any], bool], Callable[[Any, Parameter], Connector]]] = [
    ((qt.QCheckBox,), _is(bool), _attribute("checked", "toggled(bool)")),
    ((qt.QPushButton,), _is(bool), _checkable),
    ((qt.QSlider, qt.QSpinBox), _is(int), _number("valueChanged(int)")),
    ((qt.QDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSpinBox), _is(int, float), _number("valueChanged(double)")),
    ((qt.QComboBox, ctk.ctkComboBox), _is(int, float, str, bool), _choices),
    ((qt.QComboBox, ctk.ctkComboBox), _is_kind_of(enum.Enum), _choices),
    ((qt.QLineEdit,), _is(str), _attribute("text", "textChanged(QString)")),
    ((qt.QTextEdit,), _is(str), _text_edit),
    ((ctk.ctkPathLineEdit,), _is_kind_of(pathlib.PurePath), _attribute("currentPath", "currentPathChanged(QString)")),
    ((ctk.ctkDirectoryButton,), _is_kind_of(pathlib.PurePath), _attribute("directory", "directoryChanged(QString)")),
    ((slicer.qMRMLNodeComboBox,), _is_kind_of(slicer.vtkMRMLNode), _node),
]
