"""Slicer's plot view: when its axes follow the curves. The same over the stand-in and in Slicer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk


class Plot:
    """A curve in a plot widget of its own."""

    def __init__(self, scene: Any) -> None:
        self.table = scene.AddNewNodeByClass("vtkMRMLTableNode", "t")
        self.put([(0, 0.1), (1, 0.6)])
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "liver")
        series.SetAndObserveTableNodeID(self.table.GetID())
        series.SetXColumnName("epoch")
        series.SetYColumnName("dice")
        series.SetPlotType(series.PlotTypeScatter)
        series.SetMarkerStyle(series.MarkerStyleNone)
        self.chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "Dice")
        self.chart.AddAndObservePlotSeriesNodeID(series.GetID())
        node = scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
        node.SetAndObserveParentLayoutNodeID(self.chart.GetID())  # else it would be one of the layout's views
        self.widget = slicer.qMRMLPlotWidget()
        self.widget.setMRMLScene(scene)
        self.widget.setMRMLPlotViewNode(node)
        node.SetPlotChartNodeID(self.chart.GetID())
        self.widget.resize(300, 200)
        self.widget.show()

    def put(self, points: list[tuple[float, float]]) -> None:
        slicer.util.updateTableFromArray(self.table, np.array(points), ["epoch", "dice"])

    def ranges(self) -> list[tuple[float, float]]:
        """Of the axes across and up, as they are painted."""
        slicer.app.processEvents()
        self.widget.grab()
        axes = [self.widget.plotView().chart().GetAxis(place) for place in (vtk.vtkAxis.BOTTOM, vtk.vtkAxis.LEFT)]
        return [(axis.GetMinimum(), axis.GetMaximum()) for axis in axes]


@pytest.fixture
def plot(scene: Any) -> Any:
    made = Plot(scene)
    yield made
    made.widget.hide()


def test_an_automatic_range_is_computed_once(plot: Any) -> None:
    before = plot.ranges()
    assert before[0][0] <= 0 and 1 <= before[0][1] < 2
    plot.put([(0, 0.1), (1, 0.6), (50, 7.0)])
    plot.chart.Modified()
    assert plot.ranges() == before, "what is new lies outside"
    plot.widget.plotView().fitToContent()
    (_, across), (_, up) = plot.ranges()
    assert across >= 50 and up >= 7


def test_a_range_that_is_set_counts_at_once_and_is_overridden_by_a_fit(plot: Any) -> None:
    plot.chart.SetXAxisRangeAuto(False)
    plot.chart.SetYAxisRangeAuto(False)
    for last in (10, 200):
        plot.chart.SetXAxisRange(0, last)
        plot.chart.SetYAxisRange(0, 1)
        assert plot.ranges() == [(0, last), (0, 1)]
    plot.widget.plotView().fitToContent()
    across, up = plot.ranges()
    assert across[1] < 10
    assert (plot.chart.GetXAxisRange(), plot.chart.GetYAxisRange()) == (across, up), "the node is told"


def test_a_logarithmic_axis_has_the_range_that_is_set(plot: Any) -> None:
    plot.chart.SetXAxisRangeAuto(False)
    plot.chart.SetYAxisRangeAuto(False)
    plot.chart.SetXAxisRange(0, 1)
    plot.chart.SetYAxisRange(0.1, 1)
    plot.chart.SetYAxisLogScale(True)
    plot.ranges()
    shown = [0.0, 0.0]
    plot.widget.plotView().chart().GetAxis(vtk.vtkAxis.LEFT).GetUnscaledRange(shown)
    assert shown == pytest.approx((0.1, 1))
