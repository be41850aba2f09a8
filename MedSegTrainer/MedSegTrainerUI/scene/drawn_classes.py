"""Which classes somebody looked for in a case: its segments say it, also an empty one.

A segment that is not there was not drawn; one that is there and empty says that the structure was looked for and is
absent. Where that is wrong, the mark of ``drawn_mark.py`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_mark import is_marked, mark, unmark
from MedSegTrainerUI.scene.segment_classes import SegmentClass, same_name, segments_of_classes
from MedSegTrainerUI.scene.segment_layers import segment_volumes

State = Literal["drawn", "absent", "not drawn"]


def drawn_classes(row: CaseRow, classes: Sequence[SegmentClass]) -> list[SegmentClass]:
    """Those of the classes of which segments are there, none of them marked, in their order; nothing is counted."""
    if row.segmentation is None:
        names = {same_name(name) for name in (row.segments if row.drawn is None else row.drawn)}
        return [item for item in classes if names & {same_name(name) for name in item.segments}]
    content = row.segmentation.GetSegmentation()
    owners = segments_of_classes(row.segmentation, classes)
    marked = {item.name for one, item in owners.items() if is_marked(content.GetSegment(one))}
    here = {item.name for item in owners.values()} - marked
    return [item for item in classes if item.name in here]


def class_states(row: CaseRow, classes: Sequence[SegmentClass]) -> dict[str, State]:
    """By the name of the class. What a file holds is not known here: a class that was drawn there may be absent."""
    drawn = {item.name for item in drawn_classes(row, classes)}
    filled = _filled(row, classes) if row.segmentation is not None else drawn
    states: dict[str, State] = {}
    for item in classes:
        states[item.name] = "not drawn" if item.name not in drawn else "drawn" if item.name in filled else "absent"
    return states


def has_voxels(row: CaseRow, item: SegmentClass) -> bool:
    """Whether a segment of the class is there that is not empty, marked or not."""
    return item.name in _filled(row, [item])


def set_looked_for(row: CaseRow, item: SegmentClass, looked_for: bool) -> None:
    """Whether somebody looked for the class in a row of the scene.

    A segment that is there stays as it is, with the mark or without it; where it was looked for and none is there, an
    empty one is added.
    """
    content = row.segmentation.GetSegmentation()
    own = [content.GetSegment(one) for one in segments_of_classes(row.segmentation, [item])]
    for segment in own:
        if looked_for:
            unmark(segment)
        elif not is_marked(segment):
            mark(segment)
    if looked_for and not own:
        added = content.GetSegment(content.AddEmptySegment("", item.segments[0], [part / 255 for part in item.color]))
        if item.terminology:
            added.SetTag(added.GetTerminologyEntryTagName(), item.terminology)


def _filled(row: CaseRow, classes: Sequence[SegmentClass]) -> set[str]:
    sizes = segment_volumes(row.segmentation)
    return {item.name for one, item in segments_of_classes(row.segmentation, classes).items() if sizes[one] > 0}
