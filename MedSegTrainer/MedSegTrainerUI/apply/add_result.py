"""What becomes of a result that was corrected or looked at: a row of the training data, in section 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import qt
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.apply.result_view import ResultSection, ResultView
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.case_rows import CaseRow, Region
from MedSegTrainerUI.scene.corrected_slices import changed_part, compare
from MedSegTrainerUI.scene.labelled_region import not_looked_at, region_facts
from MedSegTrainerUI.scene.result_origin import accept, is_accepted, is_result, volumes_of
from MedSegTrainerUI.shared.messages import allow, report_errors
from MedSegTrainerUI.slicer_types import SegmentationNode

PIECES_MILLISECONDS = 10  # until the next one: the user's clicks come between
VOXELS_AT_ONCE = 1_500_000  # compared in one call


class AddingSection(ResultSection, Protocol):
    """What shows a result."""

    panel: PanelView
    shown: ResultView


class AddResult:
    """The tick and the button beside a result. ``section`` has the widgets, the panel and the result that is shown."""

    def __init__(self, section: AddingSection) -> None:
        self._section, self.ui, self.panel = section, section.ui, section.panel
        self._row: CaseRow | None = None  # that is being compared with what the model drew
        self._pieces: Iterator[int] = iter(())
        self._timer = qt.QTimer()
        self._timer.setInterval(PIECES_MILLISECONDS)
        self._timer.connect("timeout()", self.onMore)
        self.ui.acceptedCheckBox.connect("clicked(bool)", self.onAccepted)
        self.ui.addResultButton.connect("clicked(bool)", self.onAdd)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def cleanup(self) -> None:
        self._timer.stop()

    def refresh(self) -> None:
        node = self._section.shown.node()
        if node is None:
            return
        self.ui.acceptedCheckBox.checked = is_accepted(node)
        no_result = "" if is_result(node) else _("A model made no part of this segmentation.")
        tip = _("Whether you looked at every slice and it is right now: then all of it counts as drawn.")
        allow(self.ui.acceptedCheckBox, no_result, tip)
        tip = _(
            "Makes a row of it in section 1. Slices that you have corrected count as drawn, or all of it where you say "
            "so on the left; the rest is unknown to the training."
        )
        comparing = _("It is being compared with what the model drew.") if self._row is not None else ""
        allow(self.ui.addResultButton, no_result or comparing, tip)

    @report_errors
    def onAccepted(self, checked: bool) -> None:
        node = self._section.shown.node()
        if node is not None:
            accept(node, checked)
            self.panel.data.look_again()
            self.panel.refresh()

    @report_errors
    def onAdd(self) -> None:
        self.tell("")
        node = self._section.shown.node()
        if node is None or self._row is not None:
            return
        row = self._row_of(node)
        if row.region == "everywhere":
            self._add(row)
            return
        self._row, self._pieces = row, compare(row)
        self._timer.start()
        self.refresh()

    @report_errors
    def onMore(self) -> None:
        """The next piece of the comparison; when it is done, the row is added."""
        row, spent, done = self._row, 0, False
        try:
            while not done and spent < VOXELS_AT_ONCE:
                voxels = next(self._pieces, None)
                spent, done = spent + (voxels or 0), voxels is None
        except BaseException:
            self._end()
            raise
        if done:
            self._end()
            if row is not None:
                self._finish(row)

    def _end(self) -> None:
        self._timer.stop()
        self._row, self._pieces = None, iter(())
        self.refresh()

    def _finish(self, row: CaseRow) -> None:
        if row.segmentation.GetScene() is None:  # it was closed meanwhile
            return
        if changed_part(row) is None:
            raise DataError(not_looked_at())
        self._add(row)

    def _row_of(self, node: SegmentationNode) -> CaseRow:
        """Raises DataError where its volumes are gone, or the table has other labels of them."""
        volumes = volumes_of(node)
        if not volumes:
            raise DataError(
                _("The volume of {name} is not in the scene any more. Load it again.").format(name=node.GetName())
            )
        other = next((one for one in self.panel.all_rows() if one.volumes == volumes), None)
        if other is not None and other.segmentation is not None and other.segmentation is not node:
            text = _(
                "{volume} is in the table already, with {segmentation}. Take that row out of section 1 first, if this "
                "one is to be learned in its place."
            )
            raise DataError(text.format(volume=volumes[0].GetName(), segmentation=other.segmentation.GetName()))
        region: Region = "everywhere" if is_accepted(node) else "corrected"
        return CaseRow(name=volumes[0].GetName(), volumes=volumes, segmentation=node, region=region)

    def _add(self, row: CaseRow) -> None:
        there = any(one.segmentation is row.segmentation for one in self.panel.all_rows())
        if there:
            self.panel.data.look_again()
            self.panel.refresh()
            self.tell(_("{name} is in section 1; what you corrected since counts too.").format(name=row.name), "note")
            return
        self.panel.data.add([row])
        self.tell(*_told(row))


def _told(row: CaseRow) -> tuple[str, str]:
    """What of a row that was added counts as drawn, and the severity of that."""
    if row.region == "everywhere":
        return _("{name} was added in section 1: all of it counts as drawn.").format(name=row.name), "note"
    try:
        slices = region_facts(row, ()).slices
    except DataError as error:  # the direction of the slices is not clear
        return _("{name} was added in section 1. {problem}").format(name=row.name, problem=error), "warning"
    text = _("{name} was added in section 1: slices that you have corrected count as drawn, {n} up to now.")
    return text.format(name=row.name, n=slices), "note"
