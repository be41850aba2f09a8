"""How values of parameters are checked and written as text into a parameter node.

Covers the types that the module uses: bool, int, float, str, enumerations, paths, MRML nodes, and lists, tuples
and dicts of the first four; each of them also with None.
"""

from __future__ import annotations

import enum
import json
import pathlib
import types
import typing
from dataclasses import dataclass
from typing import Any

import slicer

PLAIN = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}


class Default:
    """Annotation: the value that a parameter begins with."""

    def __init__(self, value: Any = None, *, generator: Any = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass(frozen=True)
class Minimum:
    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass(frozen=True)
class Maximum:
    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass(frozen=True)
class Choice:
    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


class Parameter:
    """One typed member of a wrapper class."""

    def __init__(self, owner: type, name: str, hint: Any) -> None:
        self.name, self.hint = name, hint
        self.kind, self.notes = split_annotations(hint)
        options = [item for item in typing.get_args(self.kind) if item is not type(None)]
        self.optional = typing.get_origin(self.kind) in (typing.Union, types.UnionType) and len(options) == 1
        if self.optional:
            self.kind = options[0]
        if not self._is_known():
            raise TypeError(f"{owner.__name__}.{name}: the stand-in knows no parameter of type {hint}")
        self.default = Default(getattr(owner, name)) if hasattr(owner, name) else self._default()

    @property
    def is_node(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)

    def write(self, node: Any, value: Any) -> None:
        self._check(value)
        if self.is_node:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, self._text(value))

    def read(self, node: Any) -> Any:
        if not node.HasParameter(self.name):
            self.write(node, self.default.value)
        if self.is_node:
            return node.GetNodeReference(self.name)
        return self._value(node.GetParameter(self.name))

    def _is_known(self) -> bool:
        is_class = isinstance(self.kind, type)
        named = is_class and issubclass(self.kind, enum.Enum | pathlib.PurePath | slicer.vtkMRMLNode)
        return self.kind in PLAIN or named or self._container() in (list, tuple, dict)

    def _container(self) -> Any:
        return typing.get_origin(self.kind) or self.kind

    def _default(self) -> Default:
        given = [note for note in self.notes if isinstance(note, Default)]
        if given:
            return given[0]
        if self.is_node or self.optional:
            return Default(None)
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            return Default(next(iter(self.kind)))
        return Default(generator=self._container())

    def _check(self, value: Any) -> None:
        if value is None and (self.is_node or self.optional):
            return
        if value is None:
            raise ValueError(f"{self.name}: value must not be None")
        allowed = PLAIN.get(self.kind, (self._container(),))
        if not isinstance(value, allowed):
            raise TypeError(f"{self.name}: value must be of type {allowed}, is {value!r}")
        for note in self.notes:
            if hasattr(note, "validate"):
                note.validate(value)

    def _text(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return value.name
        if value is None or self._container() in (list, tuple, dict):
            return json.dumps(value)
        return str(value)

    def _value(self, text: str) -> Any:
        if self.optional and text == "null":
            return None
        if self.kind is bool:
            return text == "True"
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            return self.kind[text]
        container = self._container()
        return container(json.loads(text) if container in (list, tuple, dict) else text)


def split_annotations(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is typing.Annotated:
        kind, *notes = typing.get_args(hint)
        return kind, tuple(notes)
    return hint, ()
