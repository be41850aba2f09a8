"""What a model made of the volumes, to look at: how good it probably is, the size of each segment, slices, 3D, opacity,
how unsure it is, statistics, the Segment Editor.

A result that arrives changes no view here; a click of the user does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.results_file import CaseResult
from MedSegTrainerUI.apply.likely_dice import (
    NAME_WIDTH,
    by_likely,
    class_of,
    interval_text,
    likely_cells,
    likely_tip,
    recall_likely,
)
from MedSegTrainerUI.apply.statistics import StatisticsRun, show_table
from MedSegTrainerUI.scene.result_origin import results_in
from MedSegTrainerUI.scene.segment_layers import segment_ids, segment_name, segment_volumes
from MedSegTrainerUI.scene.uncertainty_view import has_map, hide_map, is_shown, show_map
from MedSegTrainerUI.shared.messages import allow, report_errors
from MedSegTrainerUI.shared.slice_views import jump_to, views_with
from MedSegTrainerUI.shared.tables import Cell, ChangedCells, format_ml, prepare
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, Ui, VolumeNode

SEGMENT, ML, SEGMENT_DICE = range(3)
RESULT, DICE, LOOK = range(3)


class ResultSection(Protocol):
    """What shows results in its widgets."""

    ui: Ui

    def tell(self, text: str, severity: str = "error") -> None: ...


class ResultView:
    """``section`` has the widgets. edit: opens an editor on a segmentation and its volume."""

    def __init__(self, section: ResultSection, edit: Callable[[SegmentationNode, VolumeNode], None]) -> None:
        self._section, self.ui, self._edit = section, section.ui, edit
        self._ids: list[str] = []  # of the results, the worst first
        self._chosen = ""
        self._statistics: StatisticsRun | None = None
        self._prepare_tables()
        self.ui.shownTable.connect("cellClicked(int,int)", self.onSegment)
        self.ui.solidButton.connect("clicked(bool)", self.on3D)
        self.ui.opacitySlider.connect("valueChanged(int)", self.onOpacity)
        self.ui.editButton.connect("clicked()", self.onEdit)
        self.ui.unsureButton.connect("clicked(bool)", self.onUnsure)
        self.ui.statisticsButton.connect("clicked(bool)", self.onStatistics)

    def _prepare_tables(self) -> None:
        ui = self.ui
        ui.shownTable.setColumnCount(3)
        ui.shownTable.setHorizontalHeaderLabels([_("Segment"), _("ml"), _("Likely Dice")])
        ui.shownTable.verticalHeader().setVisible(False)
        prepare(ui.shownTable, [SEGMENT])
        self._segments = ChangedCells(ui.shownTable)
        ui.resultsTable.setColumnCount(3)
        ui.resultsTable.setHorizontalHeaderLabels([_("Result"), _("Likely Dice"), ""])
        prepare(ui.resultsTable, [LOOK], {RESULT: NAME_WIDTH, DICE: 0})
        self._results = ChangedCells(ui.resultsTable)
        ui.resultsTable.connect("cellClicked(int,int)", self.onResult)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def clear(self) -> None:
        """Another run begins."""
        self._ids, self._chosen, self._statistics = [], "", None

    def restore(self) -> None:
        """Where nothing is listed, such as in a scene that was loaded: the results in it."""
        if not self._ids:
            nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            self._ids = [node.GetID() for node in results_in(nodes)]

    def add(self, node: Node) -> None:
        if node.GetID() not in self._ids:
            self._ids.append(node.GetID())
        self._chosen = self._chosen or node.GetID()

    def show_this(self, node: Node) -> None:
        """The user wants to see it: it is chosen, and comes into the views."""
        self.add(node)
        self._chosen = node.GetID()
        self.refresh()
        self._show_slices()

    def refresh(self) -> None:
        """What there is to see of the chosen result, as it is now: it may have been edited."""
        nodes = by_likely([node for node in map(slicer.mrmlScene.GetNodeByID, self._ids) if node is not None])
        self._ids = [node.GetID() for node in nodes]
        if self._chosen not in self._ids:
            self._chosen = self._ids[0] if self._ids else ""
        node = self.node()
        self.ui.shownFrame.visible = node is not None
        if node is None:
            return
        self._results.fill([_result_cells(one) for one in nodes], 1)
        self.ui.resultsTable.selectRow(self._ids.index(self._chosen))
        likely = recall_likely(node)
        cells = [_cells(node, one, ml, likely) for one, ml in segment_volumes(node).items()]
        self._segments.fill(cells, 1)
        self._show_controls(node)

    def _show_controls(self, node: SegmentationNode) -> None:
        ui = self.ui
        blocked = ui.opacitySlider.blockSignals(True)
        ui.opacitySlider.value = round(100 * _display(node).GetOpacity())
        ui.opacitySlider.blockSignals(blocked)
        ui.solidButton.checked = bool(node.GetSegmentation().ContainsRepresentation(_surface()))
        reason = "" if has_map(node) else _("There is none: tick Uncertainty above, and apply the model again.")
        allow(ui.unsureButton, reason, _(
            "Shows where the model is unsure, under the segments: from red, a little, to white, very. "
            "Nothing is drawn where it is sure."
        ))  # fmt: skip
        ui.unsureButton.checked = is_shown(node)

    def node(self) -> SegmentationNode:
        """The chosen segmentation, None where there is none."""
        return slicer.mrmlScene.GetNodeByID(self._chosen) if self._chosen else None

    @report_errors
    def onTimer(self) -> None:
        """The next result is measured, where the user asked for statistics."""
        if self._statistics is None:
            return
        run, self._statistics = self._statistics, None
        run.step()
        if not run.done:
            self._statistics = run
            return
        self.tell(*run.text())
        show_table(run.table)

    @report_errors
    def onResult(self, row: int, column: int) -> None:
        if row < len(self._ids):
            self._chosen = self._ids[row]
        self.refresh()
        self._show_slices()

    @report_errors
    def onUnsure(self, wanted: bool) -> None:
        node = self.node()
        if node is None:
            return
        self._show_slices()
        if wanted:
            with slicer.util.WaitCursor():
                show_map(node, _volume_of(node))
        else:
            hide_map(node)
        self.refresh()

    @report_errors
    def onStatistics(self) -> None:
        nodes = [slicer.mrmlScene.GetNodeByID(one) for one in self._ids]
        with_volume = [node for node in nodes if node is not None and _volume_of(node) is not None]
        if not with_volume:
            raise DataError(_("The volume of this result is not in the scene any more."))
        self._statistics = StatisticsRun([InScene(node, _volume_of(node)) for node in with_volume])
        self.onTimer()

    @report_errors
    def onSegment(self, row: int, column: int) -> None:
        node = self.node()
        if node is None:
            return
        self._show_slices()
        ids = segment_ids(node)
        if row < len(ids) and segment_volumes(node)[ids[row]] > 0:
            jump_to(node.GetSegmentCenterRAS(ids[row]))

    @report_errors
    def on3D(self, wanted: bool) -> None:
        node = self.node()
        if node is None:
            return
        if not wanted:
            node.RemoveClosedSurfaceRepresentation()
            return
        self._show_slices()
        with slicer.util.WaitCursor():
            node.CreateClosedSurfaceRepresentation()
        _display(node).SetVisibility3D(True)
        layouts = slicer.app.layoutManager()
        if layouts is not None and layouts.threeDViewCount:
            layouts.threeDWidget(0).threeDView().resetFocalPoint()

    @report_errors
    def onOpacity(self, percent: int) -> None:
        node = self.node()
        if node is not None:
            _display(node).SetOpacity(percent / 100)

    @report_errors
    def onEdit(self) -> None:
        node = self.node()
        if node is not None:
            self._show_slices()
            self._edit(node, _volume_of(node))

    def _show_slices(self) -> None:
        """The chosen result over its volume, alone: other results lie in the same place."""
        node = self.node()
        if node is None:
            return
        volume = _volume_of(node)
        with slicer.util.RenderBlocker():
            if volume is not None and not views_with(volume):
                slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)
            for one in self._ids:
                other = slicer.mrmlScene.GetNodeByID(one)
                if other is None:
                    continue
                display = _display(other)
                if bool(display.GetVisibility()) != (one == node.GetID()):
                    display.SetVisibility(one == node.GetID())


class InScene:
    """A result with its volume, as Segment Statistics takes it."""

    def __init__(self, segmentation: SegmentationNode, volume: VolumeNode) -> None:
        self.name, self._segmentation, self._volume = segmentation.GetName(), segmentation, volume

    def nodes(self) -> tuple[SegmentationNode, VolumeNode]:
        if self._segmentation.GetScene() is None or self._volume.GetScene() is None:
            raise DataError(_("It is not in the scene any more."))
        return self._segmentation, self._volume

    def release(self) -> None:
        """It stays in the scene."""


def _result_cells(node: SegmentationNode) -> list[Cell]:
    tip = _("A click shows it in the slice views.")
    return [Cell(text=node.GetName(), tip=f"{node.GetName()}\n{tip}"), *likely_cells(recall_likely(node))]


def _cells(node: Node, segment_id: str, ml: float, likely: CaseResult) -> list[Cell]:
    color = node.GetSegmentation().GetSegment(segment_id).GetColor()
    swatch = tuple(round(255 * part) for part in color)
    tip = _("A click shows it in the slice views.")
    own = class_of(likely, segment_name(node, segment_id))
    return [
        Cell(text=segment_name(node, segment_id), tip=tip, swatch=(swatch[0], swatch[1], swatch[2]), faint=ml == 0),
        Cell(text=format_ml(ml), tip=tip, right=True, faint=ml == 0),
        Cell(text=interval_text(own), tip=likely_tip(own), right=True),
    ]


def _display(segmentation: SegmentationNode) -> Node:
    segmentation.CreateDefaultDisplayNodes()  # where there is none
    return segmentation.GetDisplayNode()


def _volume_of(segmentation: SegmentationNode) -> Node:
    return segmentation.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def _surface() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())
