"""What the user decides about segments: which class a segment name belongs to; '' leaves it out.

All functions take such a mapping and give a new one. A segment that is not in it is a class of its own name. Capitals
and spaces do not count in names of segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from MedSegTrainerUI.scene.segment_classes import SegmentClass, same_name

Names = Mapping[str, str]


def rename(names: Names, item: SegmentClass, name: str) -> dict[str, str]:
    """Gives a class another name; with that of another class they become one. ``item``: a SegmentClass."""
    return {**_known(names), **{same_name(segment): name for segment in item.segments}}


def merge(names: Names, items: Sequence[SegmentClass]) -> dict[str, str]:
    """Makes one of several classes, with the name of the first."""
    merged = dict(names)
    for item in items:
        merged = rename(merged, item, items[0].name)
    return merged


def leave_out(names: Names, items: Sequence[SegmentClass]) -> dict[str, str]:
    return {**_known(names), **{same_name(segment): "" for item in items for segment in item.segments}}


def take_back(names: Names, items: Sequence[SegmentClass]) -> dict[str, str]:
    """The segments are learned again, under their own names."""
    back = {same_name(segment) for item in items for segment in item.segments}
    return {segment: name for segment, name in _known(names).items() if segment not in back}


def left_out(names: Names, items: Sequence[SegmentClass]) -> list[SegmentClass]:
    """Those of the classes of single segments that are left out."""
    known = _known(names)
    return [item for item in items if known.get(same_name(item.name)) == ""]


def _known(names: Names) -> dict[str, str]:
    return {same_name(segment): name for segment, name in names.items()}
