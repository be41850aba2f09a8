"""Loads .ui files, with the stand-ins for the widgets of Slicer and CTK."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import failures

SCENE_SIGNAL = "mrmlSceneChanged(vtkMRMLScene*)"


class QUiLoader:
    """As PythonQt's: ``load`` takes an open file and gives the widget, or None."""

    def __init__(self, parent: Any = None) -> None:
        self._parent = parent

    def load(self, file: QtCore.QIODevice, parent: Any = None) -> QtWidgets.QWidget | None:
        from .qt_modules import widget_classes

        classes = widget_classes()
        try:
            root = ElementTree.fromstring(bytes(file.readAll().data()))
        except ElementTree.ParseError as error:
            failures.note(f"The .ui file is not XML: {error}")
            return None
        _check_custom_widgets(root, classes)
        later = _take_enumerations(root, classes)
        connections = _take_connections(root)
        loader = QtUiTools.QUiLoader()
        for item in classes.values():
            loader.registerCustomWidget(item)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = loader.load(buffer, parent)
        buffer.close()
        if widget is not None:
            for item in (widget, *widget.findChildren(QtWidgets.QWidget)):
                item.toolTip = item.toolTip  # which wraps it, as for every other tooltip
            _set_enumerations(widget, later)
            for connection in connections:
                _connect(widget, *connection)
        return widget


def _check_custom_widgets(root: ElementTree.Element, classes: dict[str, Any]) -> None:
    """Every class that is not Qt's is declared, known here, and has the properties that the file sets."""
    declared = {item.findtext("class") for item in root.iter("customwidget")}
    for element in root.iter("widget"):
        name = element.get("class", "")
        if hasattr(QtWidgets, name):
            continue
        if name not in declared:
            failures.note(f".ui: {name} is not among <customwidgets>")
        if name not in classes:
            failures.note(f".ui: the stand-in has no {name}")
            continue
        for known in element.findall("property"):
            if known.get("stdset") != "0" and not _has_property(classes[name], known.get("name", "")):
                failures.note(f".ui: {name} has no property {known.get('name')}")


def _has_property(kind: type, name: str) -> bool:
    if any(isinstance(vars(base).get(name), QtCore.Property) for base in kind.__mro__):
        return True
    return bool(kind().metaObject().indexOfProperty(name) >= 0)  # that of the class itself may be deleted by now


def _take_enumerations(root: ElementTree.Element, classes: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Removes the properties that Qt cannot set on classes made in Python; name of widget, property and value."""
    taken = []
    for element in root.iter("widget"):
        owner = classes.get(element.get("class", ""))
        if owner is None:
            continue
        for known in element.findall("property"):
            text = known.findtext("set") if known.find("set") is not None else known.findtext("enum")
            own = getattr(owner, known.get("name", ""), None)
            if text is not None and isinstance(own, QtCore.Property):
                taken.append((element.get("name", ""), known.get("name", ""), _number(owner, text)))
                element.remove(known)
    return taken


def _number(owner: Any, text: str) -> int:
    value = 0
    for word in text.split("|"):
        scope, _, name = word.strip().rpartition("::")
        for home in (owner, getattr(QtCore, scope, None), getattr(QtWidgets, scope, None)):
            if home is not None and hasattr(home, name):
                value |= int(getattr(home, name))
                break
        else:
            failures.note(f".ui: {word.strip()} is not known")
    return value


def _set_enumerations(widget: QtWidgets.QWidget, values: list[tuple[str, str, int]]) -> None:
    for owner, name, value in values:
        setattr(_find(widget, owner), name, value)


def _take_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    section = root.find("connections")
    if section is None:
        return []
    root.remove(section)
    words = ("sender", "signal", "receiver", "slot")
    return [tuple(item.findtext(word, "") for word in words) for item in section]  # type: ignore[misc]


def _connect(widget: QtWidgets.QWidget, sender: str, signal: str, receiver: str, slot: str) -> None:
    source, target = _find(widget, sender), _find(widget, receiver)
    function = getattr(target, slot.partition("(")[0], None)
    if source is None or target is None or function is None:
        failures.note(f".ui: {sender} {signal} -> {receiver} {slot} connects to nothing")
        return
    source.connect(signal, function)


def _find(widget: QtWidgets.QWidget, name: str) -> Any:
    return widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
