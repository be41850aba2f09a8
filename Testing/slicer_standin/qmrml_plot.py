"""The plot widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from . import failures
from .chart_painter import content_range, paint_chart, read_curves
from .qmrml_nodes import qMRMLWidget


@dataclass(frozen=True)
class ShownAxis:
    """As vtkAxis tells what an axis shows."""

    limits: tuple[float, float]

    def GetMinimum(self) -> float:
        return self.limits[0]

    def GetMaximum(self) -> float:
        return self.limits[1]

    def GetUnscaledRange(self, limits: list[float]) -> None:
        """Also of a logarithmic axis; the others tell logarithms then, which nobody asks for here."""
        limits[:] = self.limits


class ShownChart:
    """As vtkChartXY: axes by vtkAxis.LEFT and vtkAxis.BOTTOM."""

    def __init__(self, ranges: dict[str, tuple[float, float]]) -> None:
        self._ranges = ranges

    def GetAxis(self, place: int) -> ShownAxis:
        return ShownAxis(self._ranges["X" if place == vtk.vtkAxis.BOTTOM else "Y"])


class qMRMLPlotView(QtWidgets.QWidget):
    """Paints the chart that the plot view node shows now.

    An axis whose range is automatic gets it once, when there is something to draw, and again by ``fitToContent``. That
    writes the ranges into the chart node, as everything does by which the user changes them.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._view_node: Any = None
        self._ranges: dict[tuple[str, str], tuple[float, float]] = {}  # of the axes, by the ID of the chart and X or Y
        self._observed: list[tuple[Any, int]] = []

    def mrmlPlotViewNode(self) -> Any:
        return self._view_node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        if node is not None and node.GetParentLayoutNode() is None:
            failures.note(f"Slicer's view layout makes another view for {node.GetName()}: it has no parent layout node")
        self._view_node = node
        self._observe()

    def chart(self) -> ShownChart:
        return ShownChart(self._axis_ranges(self._chart_node()))

    def fitToContent(self) -> None:
        chart = self._chart_node()
        curves = read_curves(chart) if chart is not None else []
        for letter in "XY":
            limits = content_range(curves, letter)
            if limits is not None:
                self._ranges[(chart.GetID(), letter)] = limits
                getattr(chart, f"Set{letter}AxisRange")(*limits)
        self.update()

    def _chart_node(self) -> Any:
        node = self._view_node
        return node.GetPlotChartNode() if node is not None and node.GetScene() is not None else None

    def _axis_ranges(self, chart: Any) -> dict[str, tuple[float, float]]:
        found = dict.fromkeys("XY", (0.0, 1.0))
        for letter in found if chart is not None else ():
            key = (chart.GetID(), letter)
            limits = content_range(read_curves(chart), letter)
            if key not in self._ranges and not getattr(chart, f"Get{letter}AxisRangeAuto")():
                found[letter] = getattr(chart, f"Get{letter}AxisRange")()
                continue
            if key not in self._ranges and limits is not None:
                self._ranges[key] = limits
            found[letter] = self._ranges.get(key, found[letter])
        return found

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(300, 180)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        chart = self._chart_node()
        for curve in read_curves(chart) if chart is not None else ():
            if curve.is_line and len(curve.points) < 2:
                failures.note(f"VTK: Attempted to paint a line with <2 points: {curve.name}")
        painter = QtGui.QPainter(self)
        paint_chart(painter, self.rect, chart, self._axis_ranges(chart))
        painter.end()

    def _observe(self) -> None:
        for owner, tag in self._observed:
            owner.RemoveObserver(tag)
        node = self._view_node
        chart = node.GetPlotChartNode() if node is not None else None
        events = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLPlotChartNode.PlotModifiedEvent)
        owners = [item for item in (node, chart) if item is not None]
        self._observed = [(owner, owner.AddObserver(event, self._on_modified)) for owner in owners for event in events]
        self.update()

    def _on_modified(self, caller: Any, event: str) -> None:
        if not shiboken6.isValid(self):
            return
        if caller is self._view_node:
            self._observe()
        elif event == "ModifiedEvent":  # a fixed range is set again
            for letter in "XY":
                if not getattr(caller, f"Get{letter}AxisRangeAuto")():
                    self._ranges.pop((caller.GetID(), letter), None)
        self.update()


class qMRMLPlotWidget(qMRMLWidget):
    """A plot view with its controller."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._controller = QtWidgets.QWidget(self)
        self._view = qMRMLPlotView(self)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._controller)
        column.addWidget(self._view, 1)

    def plotView(self) -> qMRMLPlotView:
        return self._view

    viewWidget = plotView

    def plotController(self) -> QtWidgets.QWidget:
        return self._controller

    controllerWidget = plotController

    def mrmlPlotViewNode(self) -> Any:
        return self._view.mrmlPlotViewNode()

    mrmlAbstractViewNode = mrmlPlotViewNode

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._view.setMRMLPlotViewNode(node)

    setMRMLAbstractViewNode = setMRMLPlotViewNode


WIDGETS = (qMRMLPlotWidget, qMRMLPlotView)
