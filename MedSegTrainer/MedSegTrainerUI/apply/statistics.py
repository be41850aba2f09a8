"""Volumes and mean intensities of the segments of results, by Slicer's Segment Statistics, in one table node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import slicer
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import MedSegError, UsageError
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode

SURFACE = "ClosedSurfaceSegmentStatisticsPlugin.enabled"
RESULT_COLUMN = "Result"


class Measured(Protocol):
    """A result that can be brought into the scene. name: in the table."""

    name: str

    def nodes(self) -> tuple[SegmentationNode, VolumeNode]: ...

    def release(self) -> None: ...


def new_table() -> Node:
    """An empty table in the scene."""
    return slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(_("Segment statistics"))
    )


def add_statistics(table: Node, name: str, segmentation: SegmentationNode, volume: VolumeNode) -> int:
    """Appends a row for each segment, with ``name`` in the first column; how many. Raises UsageError.

    Columns are those of Segment Statistics: sizes of the label map, and intensities of the volume in it. Surfaces are
    not measured, since making them takes long.
    """
    logic = _logic_class()()
    parameters = logic.getParameterNode()
    try:
        parameters.SetParameter("Segmentation", segmentation.GetID())
        parameters.SetParameter("ScalarVolume", volume.GetID())
        parameters.SetParameter("visibleSegmentsOnly", "False")
        parameters.SetParameter(SURFACE, "False")
        logic.computeStatistics()
        own = slicer.vtkMRMLTableNode()
        logic.exportToTable(own)
    finally:
        slicer.mrmlScene.RemoveNode(parameters)
    return _append(table, name, own.GetTable())


def show_table(table: Node) -> None:
    """In the views, where there are any; the layout becomes one with a table."""
    layouts = slicer.app.layoutManager()
    if layouts is not None:
        layouts.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(layouts.layout))
        application = slicer.app.applicationLogic()
        application.GetSelectionNode().SetActiveTableID(table.GetID())
        application.PropagateTableSelection()


def _append(table: Node, name: str, rows: Any) -> int:
    """Adds the rows of a vtkTable; columns that only one of both has are empty in the others' rows."""
    content, count = table.GetTable(), int(rows.GetNumberOfRows())
    before = content.GetNumberOfRows()
    changed = table.StartModify()
    _add_column(content, RESULT_COLUMN, vtk.vtkStringArray(), before)
    for source in (rows.GetColumn(index) for index in range(rows.GetNumberOfColumns())):
        if content.GetColumnByName(source.GetName()) is None:
            column = source.NewInstance()
            column.SetNumberOfComponents(source.GetNumberOfComponents())
            _add_column(content, source.GetName(), column, before)
    for index in range(content.GetNumberOfColumns()):
        column = content.GetColumn(index)
        source = rows.GetColumnByName(column.GetName())
        for row in range(count):
            if source is not None:
                column.InsertNextTuple(row, source)
            else:
                _insert(column, name if column.GetName() == RESULT_COLUMN else "")
    table.SetUseColumnTitleAsColumnHeader(False)
    table.SetLocked(True)
    table.Modified()
    table.EndModify(changed)
    return count


def _add_column(content: Any, name: str, column: Any, rows: int) -> None:
    if content.GetColumnByName(name) is None:
        column.SetName(name)
        for _row in range(rows):
            _insert(column, "")
        content.AddColumn(column)


def _insert(column: Any, text: str) -> None:
    """A row that has no number."""
    if not column.IsNumeric():
        column.InsertNextValue(text)
        return
    real = column.GetDataType() in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE)
    column.InsertNextTuple([math.nan if real else 0] * column.GetNumberOfComponents())


def _logic_class() -> Any:
    try:
        from SegmentStatistics import SegmentStatisticsLogic
    except ImportError:
        raise UsageError(
            _("Slicer's module Segment Statistics is not there. Switch it on in Slicer's settings, and restart Slicer.")
        ) from None
    return SegmentStatisticsLogic


class StatisticsRun:
    """The statistics of several results, one at each ``step``. table: the node, made with the first."""

    def __init__(self, results: Sequence[Measured]) -> None:
        self._left, self.count = list(results), len(results)
        self.table: Node = None
        self.failed: list[str] = []

    @property
    def measured(self) -> int:
        return self.count - len(self._left)

    @property
    def done(self) -> bool:
        return not self._left

    def step(self) -> None:
        """Measures the next result; one that cannot be measured is told at the end. Raises UsageError without Slicer's
        module."""
        result = self._left.pop(0)
        _logic_class()
        if self.table is None or self.table.GetScene() is None:
            self.table = new_table()
        try:
            segmentation, volume = result.nodes()
            add_statistics(self.table, result.name, segmentation, volume)
        except MedSegError as error:
            self.failed.append(f"{result.name}: {error}")
        finally:
            result.release()

    def text(self) -> tuple[str, str]:
        """What there is now, as a sentence and its severity."""
        if self.failed:
            return " ".join(self.failed), "warning"
        return _("The volumes and mean intensities are in the table {name}.").format(name=self.table.GetName()), "note"
