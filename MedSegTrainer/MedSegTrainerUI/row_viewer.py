"""A click on a row of the table shows its volume and segmentation, one on a finding the place that it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.case_rows import CaseRow
from MedSegTrainerUI.data_tables import FINDINGS, SEVERITIES, USE
from MedSegTrainerUI.messages import told
from MedSegTrainerUI.segment_layers import segment_ids, segment_name, segment_volumes
from MedSegTrainerUI.slice_views import jump_to


class RowViewer:
    """``section`` has the table, its rows, and ``findings``: those of all rows."""

    def __init__(self, section: Any) -> None:
        self._section = section
        section.ui.pairsTable.connect("cellClicked(int,int)", self.onClick)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    @told
    def onClick(self, index: int, column: int) -> None:
        rows = self._section.rows
        if column == USE or index >= len(rows):
            return
        row = rows[index]
        if not row.volumes:
            self.tell(_("{name} lies in a folder: load its files to see it.").format(name=row.name), "note")
            return
        show_row(row, rows)
        if column == FINDINGS:
            segment = speaks_of(row, [one for one in self._section.findings if one.case == row.name])
            if segment:
                jump_to(row.segmentation.GetSegmentCenterRAS(segment))


def show_row(row: CaseRow, rows: Sequence[CaseRow]) -> None:
    """The first volume in the slice views, with its segmentation alone: those of other rows would be drawn over it."""
    with slicer.util.RenderBlocker():
        slicer.util.setSliceViewerLayers(background=row.volumes[0], foreground=None, label=None, fit=True)
        for one in rows:
            display = one.segmentation.GetDisplayNode() if one.segmentation is not None else None
            wanted = one.segmentation is row.segmentation
            if display is not None and bool(display.GetVisibility()) != wanted:
                display.SetVisibility(wanted)


def speaks_of(row: CaseRow, findings: Sequence[Any]) -> str:
    """The ID of the smallest segment that the gravest finding names, else of the largest of all; '' for none."""
    if row.segmentation is None:
        return ""
    sizes = {one: ml for one, ml in segment_volumes(row.segmentation).items() if ml > 0}
    gravest = min(findings, key=lambda one: SEVERITIES.index(one.severity), default=None)
    words = f"{gravest.message} {gravest.remedy}" if gravest is not None else ""
    named = [
        one for one in segment_ids(row.segmentation) if one in sizes and segment_name(row.segmentation, one) in words
    ]
    if named:
        return min(named, key=sizes.__getitem__)
    return max(sizes, key=sizes.__getitem__, default="")
