"""Declares the properties of widgets that Slicer has in C++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore


def stored(
    kind: Any, name: str, default: Any, *, react: str = "", notify: str = ""
) -> tuple[QtCore.Property, Callable[[Any, Any], None]]:
    """A property that keeps its value, and its setter.

    After a change the method ``react`` is called and the signal ``notify`` sent, both with the value.
    """
    key = f"_{name}"

    def read(self: Any) -> Any:
        return self.__dict__.get(key, default)

    def write(self: Any, value: Any) -> None:
        if read(self) == value:
            return
        self.__dict__[key] = value
        if react:
            getattr(self, react)(value)
        if notify:
            getattr(self, notify).emit(value)

    return QtCore.Property(kind, read, write), write


def forwarded(kind: Any, name: str, inner: str) -> tuple[QtCore.Property, Callable[[Any, Any], None]]:
    """A property of a widget inside, and its setter."""

    def read(self: Any) -> Any:
        return getattr(getattr(self, inner), name)

    def write(self: Any, value: Any) -> None:
        setattr(getattr(self, inner), name, value)

    return QtCore.Property(kind, read, write), write
