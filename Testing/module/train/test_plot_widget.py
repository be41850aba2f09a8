import pytest
import qt
import slicer
from MedSegTrainerUI.train.plot_widget import PlotFrame


@pytest.fixture
def frame(scene):
    widget = qt.QWidget()
    qt.QVBoxLayout(widget)
    return widget


@pytest.fixture
def charts(scene):
    return [scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name) for name in ("Loss", "Dice")]


def test_the_view_is_none_of_the_layout_and_keeps_its_chart(frame, charts):
    plot = PlotFrame(frame, "Loss")
    plot.show(charts[0])
    view = plot.widget.mrmlPlotViewNode()
    assert view.GetParentLayoutNode() is not None and view.GetHideFromEditors() and not view.GetSaveWithScene()
    slicer.modules.plots.logic().ShowChartInLayout(charts[1])
    assert view.GetPlotChartNode() is charts[0]


def test_a_closed_scene_takes_the_view_along_and_another_panel_takes_it_over(frame, charts, scene):
    plot = PlotFrame(frame, "Loss")
    plot.show(charts[0])
    scene.Clear()
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode") == 0
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "Loss")
    for one in (plot, PlotFrame(frame, "Loss")):
        one.show(chart)
        view = one.widget.mrmlPlotViewNode()
        assert view.GetPlotChartNode() is chart and view.GetParentLayoutNode() is not None
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode") == 1
