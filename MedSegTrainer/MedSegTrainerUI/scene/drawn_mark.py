"""The mark of a segment that is there and does not count as drawn: a tag, which is saved with the segmentation."""

from __future__ import annotations

import vtk

from MedSegTrainerUI.slicer_types import Segment

TAG = "MedSegTrainer.NotDrawn"


def is_marked(segment: Segment) -> bool:
    return bool(segment.GetTag(TAG, vtk.reference("")))


def mark(segment: Segment) -> None:
    segment.SetTag(TAG, "1")


def unmark(segment: Segment) -> None:
    segment.RemoveTag(TAG)
