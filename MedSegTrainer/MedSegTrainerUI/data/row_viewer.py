"""A click on a row of the table shows its volume and segmentation, one on a finding the place that it speaks of."""

from __future__ import annotations

from typing import Protocol

from slicer.i18n import tr as _

from MedSegTrainerUI.data.tables import DRAWN, FINDINGS, USE
from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.row_views import show_row, speaks_of
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.shared.slice_views import jump_to
from MedSegTrainerUI.slicer_types import Ui


class RowSection(Protocol):
    """What has a table of rows."""

    ui: Ui
    rows: list[CaseRow]
    findings: list[Finding]

    def tell(self, text: str, severity: str = "error") -> None: ...


class RowViewer:
    """``section`` has the table, its rows, and ``findings``: those of all rows."""

    def __init__(self, section: RowSection) -> None:
        self._section = section
        section.ui.pairsTable.connect("cellClicked(int,int)", self.onClick)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    @report_errors
    def onClick(self, index: int, column: int) -> None:
        rows = self._section.rows
        if column in (USE, DRAWN) or index >= len(rows):
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
