"""``slicer.parameterNodeWrapper``: typed members over a parameter node, connected with widgets."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator
from typing import Any

import qt
import slicer
import vtk

from .parameter_values import Choice, Default, Maximum, Minimum, Parameter, WithinRange
from .parameter_widgets import Connector, connector

__all__ = [
    "Choice",
    "Default",
    "Maximum",
    "Minimum",
    "SlicerParameterNamePropertyName",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"
Mapping = dict[str, Connector]


def isParameterNodeWrapper(thing: Any) -> bool:
    return bool(getattr(thing, "_is_parameter_node_wrapper", False))


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Decorates a class whose annotations are parameters."""
    return _wrap if classtype is None else _wrap(classtype)


def _wrap(owner: Any) -> Any:
    hints = typing.get_type_hints(owner, include_extras=True)
    owner.allParameters = {name: Parameter(owner, name, hint) for name, hint in hints.items()}
    for name, parameter in owner.allParameters.items():
        setattr(owner, name, _member(parameter))
    for name, function in _METHODS.items():
        if name != "__init__" and hasattr(owner, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(owner, name, function)
    return owner


def _member(parameter: Parameter) -> property:
    return property(
        lambda self: parameter.read(self.parameterNode), lambda self, value: parameter.write(self.parameterNode, value)
    )


def _init(self: Any, parameterNode: Any) -> None:
    self.parameterNode = parameterNode
    self._connected = {}
    self._next_tag = 0
    self._updating = False
    with slicer.util.NodeModify(parameterNode):
        for parameter in self.allParameters.values():
            parameter.read(parameterNode)


def _find(self: Any, name: str) -> Parameter:
    if name not in self.allParameters:
        raise ValueError(f"Cannot find a param with the given name: {name}; found {list(self.allParameters)}")
    return self.allParameters[name]


def _connect_gui(self: Any, gui: Any) -> int:
    """Connects every widget that has the property SlicerParameterName; ``gui`` is a widget or ``ui``."""
    widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
    named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
    return _connect_parameters(self, {name: widget for name, widget in named.items() if name})


def _connect_parameters(self: Any, widgets: dict[str, Any]) -> int:
    made: Mapping = {name: connector(widget, _find(self, name)) for name, widget in widgets.items()}
    tag = self._next_tag
    self._next_tag += 1
    for name, link in made.items():
        link.write(getattr(self, name))
        link.watch(_to_parameter(self, name, link))
    observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _to_widgets(self, made))
    self._connected[tag] = (made, observer)
    return tag


def _to_parameter(self: Any, name: str, link: Connector) -> Any:
    def changed() -> None:
        if not self._updating:
            setattr(self, name, link.read())

    return changed


def _to_widgets(self: Any, links: Mapping) -> None:
    if self._updating:
        return
    with _updating(self):
        for name, link in links.items():
            link.write(getattr(self, name))


@contextlib.contextmanager
def _updating(self: Any) -> Iterator[None]:
    self._updating = True
    try:
        with slicer.util.NodeModify(self):
            yield
    finally:
        self._updating = False


def _disconnect_gui(self: Any, tag: int) -> None:
    made, observer = self._connected.pop(tag, ({}, None))
    for link in made.values():
        link.forget()
    if observer is not None:
        self.parameterNode.RemoveObserver(observer)


_METHODS: dict[str, Any] = {
    "__init__": _init,
    "_is_parameter_node_wrapper": True,
    "connectGui": _connect_gui,
    "connectParametersToGui": _connect_parameters,
    "disconnectGui": _disconnect_gui,
    "default": lambda self, name: _find(self, name).default,
    "isCached": lambda self, name: bool(_find(self, name)),
    "dataType": lambda self, name: _find(self, name).hint,
    "getValue": lambda self, name: _find(self, name).read(self.parameterNode),
    "setValue": lambda self, name, value: _find(self, name).write(self.parameterNode, value),
    "StartModify": lambda self: self.parameterNode.StartModify(),
    "EndModify": lambda self, before: self.parameterNode.EndModify(before),
    "AddObserver": lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority
    ),
    "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
    "Modified": lambda self: self.parameterNode.Modified(),
}
