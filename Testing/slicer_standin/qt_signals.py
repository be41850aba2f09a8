"""``connect`` and ``disconnect`` with signatures in words, and how PythonQt calls a slot.

A slot made in Python gets as many arguments as it names, defaulted ones included; whatever else can be called
gets all. An exception in a slot is printed and goes no further. A signal that does not exist is only printed.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore

from . import failures

ONLY_QT6 = {"checkStateChanged"}  # PySide has them, Slicer with Qt 5.15 does not

_static_connect = QtCore.QObject.connect
_static_disconnect = QtCore.QObject.disconnect
_attribute = QtCore.QObject.__getattribute__
# The deliveries of a connection, by object, signature and slot: strong references, as PythonQt holds.
_connections: dict[tuple[int, str], list[tuple[Any, Callable[..., None]]]] = {}


class Signal:
    """``object.signal``: connects its first overload."""

    def __init__(self, sender: Any, name: str, instance: Any) -> None:
        self._sender, self._name, self._instance = sender, name, instance

    def connect(self, slot: Callable[..., Any]) -> bool:
        return connect(self._sender, self._first_signature(), slot)

    def disconnect(self, slot: Callable[..., Any]) -> bool:
        return disconnect(self._sender, self._first_signature(), slot)

    def emit(self, *arguments: Any) -> None:
        self._instance.emit(*arguments)

    def __call__(self, *arguments: Any) -> None:
        self._instance.emit(*arguments)

    def _first_signature(self) -> str:
        declared = getattr(type(self._sender), "SIGNALS", {})
        for signature in declared:
            if signature.partition("(")[0] == self._name:
                return str(signature)
        meta = _attribute(self._sender, "metaObject")()
        methods = (meta.method(index) for index in range(meta.methodCount()))
        return next(
            bytes(method.methodSignature().data()).decode()
            for method in methods
            if method.methodType() == QtCore.QMetaMethod.Signal and bytes(method.name().data()).decode() == self._name
        )


def connect(sender: Any, signature: Any, receiver: Any, slot: Any = None, *rest: Any) -> Any:
    """Connects a signal to a callable, or to a slot of an object by its name."""
    if isinstance(signature, QtCore.QObject):  # PySide itself, for a signal that a class made in Python declares
        return _static_connect(signature, receiver, slot, *rest)
    if not isinstance(signature, str):
        raise TypeError(f"connect() wants a signature such as 'clicked(bool)', not {signature!r}")
    found = _find(sender, signature)
    if found is None:
        name = _attribute(sender, "metaObject")().className()
        failures.note(f"QObject::connect: No such signal {name}::{signature}")
        return False
    function = _callable(receiver, slot)
    if not callable(function):
        raise TypeError(f"connect() wants something that can be called, not {function!r}")
    delivery = _delivery(function)
    _link(sender, found, delivery)
    key = (shiboken6.getCppPointer(sender)[0], found)
    if key not in _connections:
        _connections[key] = []
        _static_connect(sender, QtCore.SIGNAL("destroyed()"), functools.partial(_connections.pop, key, None))
    _connections[key].append((function, delivery))
    return True


def disconnect(sender: Any, signature: Any, receiver: Any = None, slot: Any = None) -> Any:
    """Undoes ``connect``; without a receiver all of the signal. Whether something was connected."""
    if isinstance(signature, QtCore.QObject):
        return _static_disconnect(signature, receiver, slot)
    found = _find(sender, signature)
    key = (shiboken6.getCppPointer(sender)[0], found or "")
    made = _connections.get(key, [])
    function = _callable(receiver, slot) if receiver is not None else None
    undone = [pair for pair in made if function is None or pair[0] == function]
    for pair in undone:
        _unlink(sender, str(found), pair[1])
        made.remove(pair)
    return bool(undone)


def _find(sender: Any, signature: str) -> str | None:
    """The signature as Qt or the stand-in's class writes it; None where there is no such signal."""
    wanted = _normalized(signature)
    if wanted.partition("(")[0] in ONLY_QT6:
        return None
    for declared in getattr(type(sender), "SIGNALS", {}):
        if _normalized(declared) == wanted:
            return str(declared)
    return wanted if _attribute(sender, "metaObject")().indexOfSignal(wanted) >= 0 else None


def _normalized(signature: str) -> str:
    text = QtCore.QMetaObject.normalizedSignature(signature)
    return text if isinstance(text, str) else bytes(text.data()).decode()


def _link(sender: Any, found: str, delivery: Callable[..., None]) -> None:
    declared = getattr(type(sender), "SIGNALS", {})
    if found in declared:
        _attribute(sender, declared[found]).connect(delivery)
    else:
        _static_connect(sender, "2" + found, delivery)


def _unlink(sender: Any, found: str, delivery: Callable[..., None]) -> None:
    declared = getattr(type(sender), "SIGNALS", {})
    if found in declared:
        _attribute(sender, declared[found]).disconnect(delivery)
    else:
        _static_disconnect(sender, "2" + found, delivery)


def _callable(receiver: Any, slot: str | None) -> Any:
    if slot is not None:
        return getattr(receiver, slot.partition("(")[0])
    return receiver


def _delivery(function: Callable[..., Any]) -> Callable[..., None]:
    count = _positional_count(function)

    def deliver(*arguments: Any) -> None:
        try:
            function(*arguments[:count])
        except Exception:
            failures.note_exception(*sys.exc_info())  # type: ignore[arg-type]

    return deliver


def _positional_count(function: Callable[..., Any]) -> int | None:
    """How many arguments PythonQt passes; None for all."""
    plain = getattr(function, "__func__", function)
    if not inspect.isfunction(plain) or plain.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return plain.__code__.co_argcount - (1 if inspect.ismethod(function) else 0)
