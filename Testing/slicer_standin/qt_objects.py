"""Attributes of Qt objects as PythonQt gives them.

PySide6's own classes are changed: whatever the meta-object knows as a property is an attribute with the
property's value, and everything else stays a method. HEADLESS.md says why PySide's ``true_property`` will not do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import BuiltinMethodType, ModuleType
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from . import qt_signals

RENAMED = {"exec_": "exec", "name": "objectName"}
STATIC_WINS = {"singleShot"}  # a static function of the same name hides the property
PACKAGE = __name__.rpartition(".")[0]

_object_attribute = QtCore.QObject.__getattribute__
_being_read: set[tuple[int, str]] = set()
_properties: dict[tuple[type, str, str], str | None] = {}


class Method:
    """A method of C++: takes no keywords and no paths, and gives tuples where C++ gives lists."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        name = self._function.__name__
        refuse_foreign(name, arguments, keywords)
        if name == "setToolTip" and isinstance(self._function.__self__, QtWidgets.QWidget):
            arguments = tuple(wrapped_tooltip(argument) for argument in arguments)
        try:
            return as_tuple(self._function(*arguments))
        except TypeError as error:  # PySide's; one of the Python code that it calls is printed, not raised
            raise ValueError(f"Called {name}() with wrong arguments: {arguments}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def refuse_foreign(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Raises ValueError for what PySide would take and PythonQt does not."""
    if keywords:
        raise ValueError(f"{name}() takes no keyword arguments in PythonQt: {', '.join(keywords)}")
    for argument in arguments:
        if isinstance(argument, os.PathLike):
            raise ValueError(f"{name}() takes no path object in PythonQt: use str({argument!r})")


def wrapped_tooltip(text: Any) -> Any:
    """Slicer makes rich text of the plain tooltips of widgets, so that long ones are wrapped."""
    plain = isinstance(text, str) and text and not QtGui.Qt.mightBeRichText(text)
    return QtGui.Qt.convertFromPlainText(text, QtCore.Qt.WhiteSpaceMode.WhiteSpaceNormal) if plain else text


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def patch(*modules: ModuleType) -> None:
    """Changes QObject and every class of the modules that brings slots of its own."""
    QtCore.QObject.__getattribute__ = _getter(_object_attribute)
    for module in modules:
        for item in [getattr(module, name) for name in dir(module)]:  # not vars(): PySide makes classes when asked
            if not (isinstance(item, type) and issubclass(item, QtCore.QObject)):
                continue
            if item is not QtCore.QObject and "__getattribute__" in vars(item):  # QFile, QProcess, QMenu, QLibrary
                item.__getattribute__ = _getter(item.__getattribute__)
            item.__setattr__ = _set


def _getter(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def get(self: Any, name: str) -> Any:
        if name[:1] == "_":
            return original(self, name)
        if not shiboken6.isValid(self):
            raise ValueError(f"Trying to use '{name}' of a destroyed {type(self).__name__} object")
        if name in _OWN:
            return lambda *arguments: _OWN[name](self, *arguments)
        known = property_name(self, name)
        if known and (id(self), name) not in _being_read:
            return as_tuple(_read(self, known, name))
        return _member(self, RENAMED.get(name, name), original)

    return get


def _read(self: Any, known: str, name: str) -> Any:
    """The value of a property. While Qt computes it, it may ask for a Python method of the same name (sizeHint)."""
    _being_read.add((id(self), name))
    try:
        value = _object_attribute(self, "property")(known)
        getter = getattr(type(self), known, None) if value is None else None
        return getter(self) if callable(getter) else value  # for types that PySide makes no QVariant of
    finally:
        _being_read.discard((id(self), name))


def _member(self: Any, name: str, original: Callable[[Any, str], Any]) -> Any:
    try:
        value = original(self, name)
    except AttributeError:
        if name.encode() in [bytes(known.data()) for known in _object_attribute(self, "dynamicPropertyNames")()]:
            return as_tuple(_object_attribute(self, "property")(name))
        raise
    if isinstance(value, QtCore.SignalInstance):
        return qt_signals.Signal(self, name, value)
    return Method(value) if isinstance(value, BuiltinMethodType) else value


def property_name(self: Any, name: str) -> str | None:
    """The Qt property behind an attribute; None for everything else."""
    meta = _object_attribute(self, "metaObject")()
    key = (type(self), meta.className(), name)
    if key not in _properties:
        _properties[key] = _find_property(type(self), meta, name)
    return _properties[key]


def _find_property(kind: type, meta: Any, name: str) -> str | None:
    wanted = RENAMED.get(name, name) if meta.indexOfProperty(name) < 0 else name
    if name in STATIC_WINS or meta.indexOfProperty(wanted) < 0:
        return None
    for base in kind.__mro__:
        if name in vars(base):  # what Python code defines hides the property, unless it is the property
            foreign = not base.__module__.startswith("PySide6")
            return None if foreign and not isinstance(vars(base)[name], QtCore.Property) else wanted
    return wanted


def _set(self: Any, name: str, value: Any) -> None:
    if not shiboken6.isValid(self):
        raise ValueError(f"Trying to set '{name}' of a destroyed {type(self).__name__} object")
    known = property_name(self, name) if name[:1] != "_" else None
    if known:
        _set_property(self, known, value)
    elif isinstance(value, QtCore.SignalInstance):  # PySide itself, while it makes an object
        self.__dict__[name] = value
    elif name.encode() in [bytes(item.data()) for item in _object_attribute(self, "dynamicPropertyNames")()]:
        _object_attribute(self, "setProperty")(name, value)
    else:
        _set_in_python(self, name, value)


def _set_in_python(self: Any, name: str, value: Any) -> None:
    """A new attribute: only where the class was made in Python, and is not one that Slicer has in C++."""
    home = type(self).__module__
    ours = home.startswith(PACKAGE)
    if home.startswith("PySide6") or (ours and name[:1] != "_"):
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}': nothing was set")
    for base in type(self).__mro__:
        if hasattr(type(vars(base).get(name)), "__set__"):
            vars(base)[name].__set__(self, value)
            return
    self.__dict__[name] = value


def _set_property(self: Any, name: str, value: Any) -> None:
    meta = _object_attribute(self, "metaObject")()
    kind = meta.property(meta.indexOfProperty(name))
    if not kind.isWritable():
        raise AttributeError(f"Property '{name}' of {type(self).__name__} cannot be written")
    converted = _converted(kind.typeName(), value)
    if name == "toolTip" and isinstance(self, QtWidgets.QWidget):
        converted = wrapped_tooltip(converted)
    if converted is None or not (
        _object_attribute(self, "setProperty")(name, converted) or _call_setter(self, name, value)
    ):
        raise AttributeError(
            f"Property '{name}' of type '{kind.typeName()}' does not accept an object of type "
            f"{type(value).__name__} ({value!r})"
        )


def _call_setter(self: Any, name: str, value: Any) -> bool:
    """For types that PySide makes no QVariant of."""
    setter = getattr(type(self), f"set{name[0].upper()}{name[1:]}", None)
    if setter is None:
        return False
    try:
        setter(self, value)
    except TypeError:
        return False
    return True


def _converted(kind: str, value: Any) -> Any:
    """The value as the property's type wants it; None where PythonQt would refuse it, or only guess."""
    if kind == "bool":
        return bool(value) if isinstance(value, int) else None
    if kind in ("int", "uint", "qlonglong", "qulonglong"):
        return int(value) if hasattr(value, "__index__") else None
    if kind in ("double", "float"):
        return float(value) if isinstance(value, int) or hasattr(value, "__float__") else None
    if kind == "QString":
        return value if isinstance(value, str) else None
    if kind == "QStringList":
        fits = isinstance(value, tuple | list) and all(isinstance(item, str) for item in value)
        return list(value) if fits else None
    return value


def _class_name(self: Any) -> str:
    return str(_object_attribute(self, "metaObject")().className())


_OWN: dict[str, Callable[..., Any]] = {
    "connect": qt_signals.connect,
    "disconnect": qt_signals.disconnect,
    "className": _class_name,
    "delete": shiboken6.delete,
}
