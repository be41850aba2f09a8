"""What a model made of the volumes, to look at: the size of each segment, slices, 3D, opacity, the Segment Editor.

A result that arrives changes no view here; a click of the user does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.scene.segment_layers import segment_ids, segment_name, segment_volumes
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.shared.slice_views import jump_to, views_with
from MedSegTrainerUI.shared.tables import Cell, fill, format_ml, prepare
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, Ui, VolumeNode

SEGMENT, ML = range(2)


class ResultSection(Protocol):
    """What shows results in its widgets."""

    ui: Ui

    def tell(self, text: str, severity: str = "error") -> None: ...


class ResultView:
    """``section`` has the widgets. edit: opens an editor on a segmentation and its volume."""

    def __init__(self, section: ResultSection, edit: Callable[[SegmentationNode, VolumeNode], None]) -> None:
        self._section, self.ui, self._edit = section, section.ui, edit
        self._ids: list[str] = []
        self._filled: object = None
        self.ui.shownTable.setColumnCount(2)
        self.ui.shownTable.setHorizontalHeaderLabels([_("Segment"), _("ml")])
        self.ui.shownTable.verticalHeader().setVisible(False)
        prepare(self.ui.shownTable, [SEGMENT])
        self.ui.shownSelector.connect("activated(int)", self.onResult)
        self.ui.shownTable.connect("cellClicked(int,int)", self.onSegment)
        self.ui.solidButton.connect("clicked(bool)", self.on3D)
        self.ui.opacitySlider.connect("valueChanged(int)", self.onOpacity)
        self.ui.editButton.connect("clicked()", self.onEdit)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def clear(self) -> None:
        """Another run begins."""
        self._list([])

    def add(self, node: Node) -> None:
        if node.GetID() not in self._ids:
            self._list([*self._ids, node.GetID()])

    def refresh(self) -> None:
        """What there is to see of the chosen result, as it is now: it may have been edited."""
        there = [one for one in self._ids if slicer.mrmlScene.GetNodeByID(one) is not None]
        if there != self._ids:
            self._list(there)
        node = self.node()
        self.ui.shownFrame.visible = node is not None
        if node is None:
            return
        sizes = segment_volumes(node)
        rows = [_cells(node, one, ml) for one, ml in sizes.items()]
        if rows != self._filled:
            self._filled = rows
            fill(self.ui.shownTable, rows, 1)
        blocked = self.ui.opacitySlider.blockSignals(True)
        self.ui.opacitySlider.value = round(100 * _display(node).GetOpacity())
        self.ui.opacitySlider.blockSignals(blocked)
        self.ui.solidButton.checked = bool(node.GetSegmentation().ContainsRepresentation(_surface()))

    def node(self) -> SegmentationNode:
        """The chosen segmentation, None where there is none."""
        index = self.ui.shownSelector.currentIndex
        return slicer.mrmlScene.GetNodeByID(self._ids[index]) if 0 <= index < len(self._ids) else None

    @report_errors
    def onResult(self, index: int) -> None:
        self.refresh()
        self._show_slices()

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
                display = _display(slicer.mrmlScene.GetNodeByID(one))
                if bool(display.GetVisibility()) != (one == node.GetID()):
                    display.SetVisibility(one == node.GetID())

    def _list(self, ids: list[str]) -> None:
        chosen = self.node()
        self._ids, self._filled = ids, None
        selector = self.ui.shownSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        for one in ids:
            selector.addItem(slicer.mrmlScene.GetNodeByID(one).GetName())
        selector.setCurrentIndex(ids.index(chosen.GetID()) if chosen is not None and chosen.GetID() in ids else 0)
        selector.blockSignals(blocked)


def _cells(node: Node, segment_id: str, ml: float) -> list[Cell]:
    color = node.GetSegmentation().GetSegment(segment_id).GetColor()
    swatch = tuple(round(255 * part) for part in color)
    tip = _("A click shows it in the slice views.")
    return [
        Cell(text=segment_name(node, segment_id), tip=tip, swatch=(swatch[0], swatch[1], swatch[2]), faint=ml == 0),
        Cell(text=format_ml(ml), tip=tip, right=True, faint=ml == 0),
    ]


def _display(segmentation: SegmentationNode) -> Node:
    segmentation.CreateDefaultDisplayNodes()  # where there is none
    return segmentation.GetDisplayNode()


def _volume_of(segmentation: SegmentationNode) -> Node:
    return segmentation.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def _surface() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())
