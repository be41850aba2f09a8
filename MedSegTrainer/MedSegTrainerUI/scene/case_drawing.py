"""What was drawn in a case of the table: each class, and in how many slices, where it is slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_classes import State, class_states, drawn_classes
from MedSegTrainerUI.scene.labelled_region import region_facts
from MedSegTrainerUI.scene.segment_classes import SegmentClass


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """``states``: by the name of the class. axis, slices: of the patient, and how many were drawn or corrected; ""
    and 0 where that is not known."""

    states: Mapping[str, State]
    axis: str = ""
    slices: int = 0


def look_at(row: CaseRow, classes: Sequence[SegmentClass]) -> Drawing:
    """Of a row; nothing is counted that was counted before."""
    states = class_states(row, classes)
    if row.segmentation is None or not row.volumes or row.region not in ("slices", "corrected"):
        return Drawing(states=states, axis=row.axis)
    try:
        facts = region_facts(row, drawn_classes(row, classes))
    except DataError:  # it is among the findings
        return Drawing(states=states, axis=row.axis)
    return Drawing(states=states, axis=facts.axis, slices=facts.slices)
