"""The plot widget."""

from __future__ import annotations

from typing import Any

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from . import failures
from .chart_painter import paint_chart
from .qmrml_nodes import qMRMLWidget


class qMRMLPlotView(QtWidgets.QWidget):
    """Paints the chart that the plot view node shows now."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._view_node: Any = None
        self._observed: list[tuple[Any, int]] = []

    def mrmlPlotViewNode(self) -> Any:
        return self._view_node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        if node is not None and node.GetParentLayoutNode() is None:
            failures.note(f"Slicer's view layout makes another view for {node.GetName()}: it has no parent layout node")
        self._view_node = node
        self._observe()

    def fitToContent(self) -> None:
        """The axes fit by themselves."""

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(300, 180)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        node = self._view_node
        chart = node.GetPlotChartNode() if node is not None and node.GetScene() is not None else None
        painter = QtGui.QPainter(self)
        paint_chart(painter, self.rect, chart)
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
