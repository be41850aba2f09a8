"""The curves of a training in Slicer's plot nodes: losses, and Dice of each class in the colour of its segment.

Two tables, as validations are rarer than epochs. New points are appended. A long training is thinned out for
display: each table keeps at most ``MOST_ROWS`` rows, so that drawing costs the same after a day as after a minute.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.slicer_types import Node
from MedSegTrainerUI.train.chart_axes import ChartAxes, Range, loss_axis

MOST_ROWS = 400
SERIES_AT_ONCE = 8  # made or removed in one call
ATTRIBUTE = "MedSegTrainer.Chart"
INK = (0.2, 0.2, 0.2)
VALIDATION = (0.835, 0.369, 0.0)  # Okabe-Ito vermillion, told apart from dark grey with every kind of colour vision
EPOCH, TRAINING, HELD_OUT, MEAN = "epoch", "training loss", "validation loss", "mean Dice"
NAN = float("nan")

Point = Mapping[str, Any]
Reader = Callable[[Point], float | None]


class Charts:
    """``show`` brings the charts to what a JobWatch knows. Nodes that the scene has lost are made anew."""

    def __init__(self) -> None:
        self._watch: JobWatch | None = None
        self._classes: list[tuple[str, tuple[float, ...]]] = []
        self._tables: dict[str, PointTable] = {}
        self._series_of: dict[str, list[tuple[Node, Node]]] = {}  # charts and series of each table
        self._axes: dict[str, ChartAxes] = {}
        self._pieces: Iterator[None] = iter(())  # series that are still to be made or to go
        self.complete = True
        self.nodes: dict[str, Node] = {}

    @property
    def zoomed(self) -> frozenset[str]:
        """Those of the charts ``loss`` and ``dice`` of which the user has chosen a part."""
        return frozenset(name for name, axes in self._axes.items() if axes.zoomed)

    def show_all(self, name: str) -> None:
        self._axes[name].show_all()

    def show(self, watch: JobWatch, classes: Sequence[Mapping[str, Any]]) -> bool:
        """classes: with name and color (RGB, 0-255). Returns whether anything changed.

        Of many classes some get their series in one call: it is to be called again until ``complete``.
        """
        wanted = [(item["name"], tuple(part / 255 for part in item["color"])) for item in classes]
        if watch is not self._watch or wanted != self._classes or not self._are_there():
            self._watch, self._classes = watch, wanted
            self._build()
        came = self._go_on()
        quiet = [(self.nodes[name], self.nodes[name].StartModify()) for name in ("loss", "dice")]
        try:  # each series would redraw its chart at every change of its table
            losses = self._tables["losses"].bring(watch.epochs, watch.rewinds)
            changed = self._tables["validations"].bring(watch.validations, watch.rewinds) or losses
            if changed or came:
                self._attach()
                self._set_ranges()
            return changed
        finally:
            for node, before in quiet:
                node.EndModify(before)

    def forget(self) -> None:
        """The scene is closing: its nodes are not touched any more."""
        self._watch, self._tables, self._series_of, self._axes, self.nodes = None, {}, {}, {}, {}
        self._pieces, self.complete = iter(()), True

    def _are_there(self) -> bool:
        return bool(self.nodes) and all(node.GetScene() is not None for node in self.nodes.values())

    def _build(self) -> None:
        names = [name for name, _color in self._classes]
        columns: dict[str, dict[str, Reader]] = {
            "losses": {EPOCH: lambda p: p["epoch"], TRAINING: lambda p: p["train_loss"]},
            "validations": {
                EPOCH: lambda p: p["epoch"],
                HELD_OUT: lambda p: p.get("val_loss"),
                MEAN: lambda p: p["mean_dice"],
                **{dice_column(name): _dice_reader(name) for name in names},
            },
        }
        self.nodes, self._series_of = {}, {key: [] for key in columns}
        for key, readers in columns.items():
            node = self._node("vtkMRMLTableNode", key, _("MedSegTrainer {key}").format(key=key))
            self._tables[key] = PointTable(node, readers)
        loss = self._chart("loss", _("loss"))
        self._series(loss, "losses", TRAINING, _("training"), INK, 2.0)
        self._series(loss, "validations", HELD_OUT, _("held-out"), VALIDATION, 2.0)
        dice = self._chart("dice", _("Dice"))
        dice.SetLegendVisibility(False)  # it would hide the curves; the panel has it above the chart
        self._axes = {"loss": ChartAxes(loss), "dice": ChartAxes(dice)}
        self._pieces, self.complete = self._classes_and_others(dice), False

    def _classes_and_others(self, dice: Node) -> Iterator[None]:
        """A series that is made or removed at each step."""
        for name, color in self._classes:
            self._series(dice, "validations", dice_column(name), name, color, 2.0)
            yield
        if len(self._classes) != 1:
            self._series(dice, "validations", MEAN, _("mean"), INK, 3.0)
        wanted = {node.GetAttribute(ATTRIBUTE) for node in self.nodes.values()}
        for node in _nodes("vtkMRMLPlotSeriesNode"):  # of an earlier job with other classes
            if node.GetAttribute(ATTRIBUTE) and node.GetAttribute(ATTRIBUTE) not in wanted:
                slicer.mrmlScene.RemoveNode(node)
                yield

    def _go_on(self) -> bool:
        """Every node that comes or goes is looked at by every chooser of Slicer; whether one did."""
        made = sum(1 for _piece in itertools.islice(self._pieces, SERIES_AT_ONCE))
        came = not self.complete
        self.complete = made < SERIES_AT_ONCE
        return came

    def _chart(self, key: str, title: str) -> Node:
        chart = self._node("vtkMRMLPlotChartNode", key, _("Training: {title}").format(title=title))
        chart.RemoveAllPlotSeriesNodeIDs()
        chart.SetTitleVisibility(False)
        chart.SetXAxisTitle(_("epoch"))
        chart.SetYAxisTitle(title)
        for size in (chart.SetAxisLabelFontSize, chart.SetAxisTitleFontSize, chart.SetLegendFontSize):
            size(11)
        chart.SetLegendVisibility(True)
        return chart

    def _series(self, chart: Node, table: str, column: str, name: str, color: Sequence[float], width: float) -> None:
        series = self._node("vtkMRMLPlotSeriesNode", f"{chart.GetAttribute(ATTRIBUTE)}/{column}", name)
        series.SetAndObserveTableNodeID(self.nodes[table].GetID())
        series.SetXColumnName(EPOCH)
        series.SetYColumnName(column)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)  # a line over the index ignores the epoch
        series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetLineWidth(width)
        series.SetColor(*color)
        self._series_of[table].append((chart, series))

    def _attach(self) -> None:
        """VTK prints an error at every paint of a line that has fewer than two points."""
        for table, users in self._series_of.items():
            has_line = self.nodes[table].GetNumberOfRows() > 1
            for chart, series in users:
                if chart.HasPlotSeriesNodeID(series.GetID()) != has_line:
                    change = chart.AddAndObservePlotSeriesNodeID if has_line else chart.RemovePlotSeriesNodeID
                    change(series.GetID())

    def _set_ranges(self) -> None:
        epochs = [table.range_of(EPOCH)[1] for table in self._tables.values()]
        across = 0.0, max([2.0, *(last for last in epochs if math.isfinite(last))])
        self._axes["dice"].follow(across, (0.0, 1.0))
        losses = [self._tables["losses"].range_of(TRAINING), self._tables["validations"].range_of(HELD_OUT)]
        lowest, highest = min(low for low, _high in losses), max(high for _low, high in losses)
        up, log = loss_axis((lowest, highest)) if math.isfinite(lowest) else ((0.0, 1.0), False)
        self._axes["loss"].follow(across, up, log=log)

    def _node(self, class_name: str, key: str, name: str) -> Node:
        """The node of this use that is in the scene, as after a reload of the module, or a new one."""
        existing = next((node for node in _nodes(class_name) if node.GetAttribute(ATTRIBUTE) == key), None)
        if existing is None:
            existing = slicer.mrmlScene.AddNewNodeByClass(class_name)
            existing.SetAttribute(ATTRIBUTE, key)
            existing.SetSaveWithScene(False)  # the job has it all
            existing.SetHideFromEditors(class_name != "vtkMRMLPlotChartNode")
        existing.SetName(name)
        self.nodes[key] = existing
        return existing


class PointTable:
    """A table node with a row a point: the first of every ``stride`` points, and the newest."""

    def __init__(self, node: Node, readers: Mapping[str, Reader]) -> None:
        self.node, self._readers = node, readers
        self._taken, self._stride, self._rewinds = 0, 1, 0
        self._newest_goes = False  # the last row stands for the newest point only until a newer one is there
        was_modified = node.StartModify()
        node.RemoveAllColumns()
        self._columns = []
        for name in readers:
            column = vtk.vtkDoubleArray()
            column.SetName(name)
            node.AddColumn(column)
            self._columns.append(column)
        node.EndModify(was_modified)

    def bring(self, points: Sequence[Point], rewinds: int) -> bool:
        """Rows for the points that are new; all rows anew, a bounded number, where points were taken back."""
        if rewinds != self._rewinds or len(points) < self._taken:
            self._rewinds = rewinds
            self._clear(points)
        elif len(points) == self._taken:
            return False
        elif len(points) > self._stride * MOST_ROWS:
            self._clear(points)
        if self._newest_goes:
            for column in self._columns:
                column.SetNumberOfTuples(column.GetNumberOfTuples() - 1)
        first = -(-self._taken // self._stride) * self._stride
        for index in range(first, len(points), self._stride):
            self._append(points[index])
        self._newest_goes = bool(points) and (len(points) - 1) % self._stride != 0
        if self._newest_goes:
            self._append(points[-1])
        self._taken = len(points)
        for column in self._columns:
            column.Modified()
        self.node.GetTable().Modified()
        self.node.Modified()
        return True

    def range_of(self, name: str) -> Range:
        """The least and the most of the finite numbers in a column; infinity and minus infinity where it has none."""
        column = self._columns[list(self._readers).index(name)]
        values = numpy_support.vtk_to_numpy(column) if column.GetNumberOfTuples() else np.empty(0)
        finite = values[np.isfinite(values)]
        return (float(finite.min()), float(finite.max())) if finite.size else (math.inf, -math.inf)

    def _clear(self, points: Sequence[Point]) -> None:
        self._taken, self._stride, self._newest_goes = 0, 1, False
        while len(points) > self._stride * MOST_ROWS // 2 and len(points) > MOST_ROWS:
            self._stride *= 2
        for column in self._columns:
            column.SetNumberOfTuples(0)

    def _append(self, point: Point) -> None:
        for column, read in zip(self._columns, self._readers.values(), strict=True):
            value = read(point)
            column.InsertNextValue(NAN if value is None else value)


def dice_column(class_name: str) -> str:
    return f"Dice {class_name}"


def _dice_reader(name: str) -> Reader:
    return lambda point: point["dice"].get(name)


def _nodes(class_name: str) -> list[Node]:
    return list(slicer.util.getNodesByClass(class_name))
