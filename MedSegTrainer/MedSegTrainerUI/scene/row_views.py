"""A row of the table in the slice views: its volume, its segmentation, and the segment that a finding speaks of."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_layers import segment_ids, segment_name, segment_volumes
from MedSegTrainerUI.shared.tables import SEVERITIES


def show_row(row: CaseRow, rows: Sequence[CaseRow]) -> None:
    """The first volume in the slice views, with its segmentation alone: those of other rows would be drawn over it."""
    with slicer.util.RenderBlocker():
        slicer.util.setSliceViewerLayers(background=row.volumes[0], foreground=None, label=None, fit=True)
        for one in rows:
            display = one.segmentation.GetDisplayNode() if one.segmentation is not None else None
            wanted = one.segmentation is row.segmentation
            if display is not None and bool(display.GetVisibility()) != wanted:
                display.SetVisibility(wanted)


def speaks_of(row: CaseRow, findings: Sequence[Finding]) -> str:
    """The ID of the smallest segment that the gravest finding names, else of the largest of all; '' for none."""
    if row.segmentation is None:
        return ""
    sizes = {one: ml for one, ml in segment_volumes(row.segmentation).items() if ml > 0}
    gravest = min(findings, key=lambda one: SEVERITIES.index(one.severity), default=None)
    text = f"{gravest.message} {gravest.remedy}" if gravest is not None else ""
    named = [
        one for one in segment_ids(row.segmentation) if one in sizes and segment_name(row.segmentation, one) in text
    ]
    if named:
        return min(named, key=sizes.__getitem__)
    return max(sizes, key=sizes.__getitem__, default="")
