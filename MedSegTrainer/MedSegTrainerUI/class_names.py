"""What the user decides about segments: which class a segment name belongs to; '' leaves it out.

All functions take such a mapping and give a new one. A segment that is not in it is a class of its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Names = Mapping[str, str]


def rename(names: Names, item: Any, name: str) -> dict[str, str]:
    """Gives a class another name; with that of another class they become one. ``item``: a SegmentClass."""
    return {**names, **{segment: name for segment in item.segments}}


def merge(names: Names, items: Sequence[Any]) -> dict[str, str]:
    """Makes one of several classes, with the name of the first."""
    merged = dict(names)
    for item in items:
        merged = rename(merged, item, items[0].name)
    return merged


def leave_out(names: Names, items: Sequence[Any]) -> dict[str, str]:
    return {**names, **{segment: "" for item in items for segment in item.segments}}


def take_back(names: Names, items: Sequence[Any]) -> dict[str, str]:
    """The segments are learned again, under their own names."""
    back = {segment for item in items for segment in item.segments}
    return {segment: name for segment, name in names.items() if segment not in back}
