"""The slices of a case in which somebody has drawn or corrected something, by their numbers in the volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.corrected_slices import changed_part
from MedSegTrainerUI.scene.export_labels import drawn_part
from MedSegTrainerUI.scene.labelled_region import array_axis, region_facts
from MedSegTrainerUI.scene.segment_classes import SegmentClass


@dataclass(frozen=True, kw_only=True)
class SliceNumbers:
    """axis: of the patient, across the slices. numbers: along the axis of the volume that is nearest to it, from 0."""

    axis: str
    numbers: tuple[int, ...]


def is_sparse(row: CaseRow) -> bool:
    """Whether only slices of it were drawn or corrected."""
    return row.region in ("slices", "corrected") and bool(row.volumes) and row.segmentation is not None


def drawn_slices(row: CaseRow, classes: Sequence[SegmentClass]) -> SliceNumbers:
    """Of a sparse row. Raises DataError where it cannot be told, or nothing is drawn."""
    facts = region_facts(row, classes)
    part = changed_part(row) if row.region == "corrected" else drawn_part(row.segmentation, row.volumes[0], classes)
    assert part is not None, "region_facts would have said so"
    axis = array_axis(row.volumes[0], facts.axis)
    planes = part.array.any(axis=tuple(one for one in range(3) if one != axis))
    return SliceNumbers(axis=facts.axis, numbers=tuple(int(one) for one in np.flatnonzero(planes) + part.start[axis]))
