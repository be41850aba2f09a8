"""Whether a value read from JSON is what a dataclass says its field is; standard library only.

A job folder may be a stranger's, or half of it may be lost: what is something else than its type is not used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

LARGEST = 1 << 63  # of whole numbers: what C and Qt can hold


@cache
def types_of(cls: type) -> dict[str, Any]:
    """The type of each field of a dataclass."""
    return get_type_hints(cls)


def fits(value: Any, kind: Any) -> bool:
    """kind: Any, None, bool, int, float, str, lists, dicts with text as keys, unions of them. Numbers are finite."""
    inside = get_args(kind)
    if kind is Any:
        return True
    if get_origin(kind) in (Union, UnionType):
        return any(fits(value, one) for one in inside)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(fits(item, inside[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(fits(item, inside[1]) for item in value.values())
    if kind in (int, float):
        numbers = int if kind is int else (int, float)
        return (
            isinstance(value, numbers)
            and not isinstance(value, bool)
            and abs(value) < (LARGEST if isinstance(value, int) else math.inf)
        )
    return isinstance(value, kind)


def filled(values: Mapping[str, Any], cls: type) -> dict[str, Any] | None:
    """The values with the defaults of fields that are not among them; None where one is missing or of another type.

    A number may be null: so one is written that is not finite.
    """
    defaults = {item.name: _default(item) for item in fields(cls)}
    complete = {**{name: value for name, value in defaults.items() if value is not MISSING}, **values}
    for name, kind in types_of(cls).items():
        if name not in complete or not fits(complete[name], kind | None if kind is float else kind):
            return None
    return complete


def _default(item: Any) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()
