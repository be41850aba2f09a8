"""Volumes and mean intensities of the segments of results, by Slicer's Segment Statistics, in one table node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    logic = _logic()
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
        _logic_class()().showTable(table)


def _append(table: Node, name: str, rows: Any) -> int:
    content, count = table.GetTable(), rows.GetNumberOfRows()
    before = content.GetNumberOfRows()
    changed = table.StartModify()
    columns = [rows.GetColumn(index) for index in range(rows.GetNumberOfColumns())]
    _column(content, RESULT_COLUMN, vtk.vtkStringArray, before)
    for column in columns:
        _column(content, column.GetName(), type(column), before)
    for row in range(count):
        content.InsertNextBlankRow()
        content.SetValueByName(before + row, RESULT_COLUMN, vtk.vtkVariant(name))
        for column in columns:
            content.SetValueByName(before + row, column.GetName(), rows.GetValueByName(row, column.GetName()))
    table.SetUseColumnTitleAsColumnHeader(False)
    table.SetLocked(True)
    table.Modified()
    table.EndModify(changed)
    return int(count)


def _column(content: Any, name: str, kind: Callable[[], Any], rows: int) -> None:
    """Adds a column where it is not there; rows of before have no value in it."""
    if content.GetColumnByName(name) is not None:
        return
    column = kind()
    column.SetName(name)
    column.SetNumberOfValues(rows)
    if column.IsNumeric():
        column.Fill(float("nan") if column.GetDataType() in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE) else 0)
    content.AddColumn(column)


def _logic() -> Any:
    return _logic_class()()


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
