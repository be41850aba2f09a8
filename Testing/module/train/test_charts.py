import math
from itertools import pairwise

import pytest
import slicer
import vtk
from MedSegTrainerUI.train.chart_axes import loss_axis
from MedSegTrainerUI.train.charts import MOST_ROWS, Charts, dice_column

CLASSES = [
    {"name": "liver", "color": (221, 130, 101)},
    {"name": "tumor", "color": (0, 255, 0)},
]


class FakeWatch:
    def __init__(self, epochs=0):
        self.rewinds = 0
        self.epochs, self.validations = [], []
        self.add(epochs)

    def add(self, count):
        for _ in range(count):
            epoch = len(self.epochs) + 1
            self.epochs.append({"epoch": epoch, "train_loss": 1 / epoch})
            if epoch % 2 == 0:
                dice = {"liver": 0.9, "tumor": None}
                self.validations.append({"epoch": epoch, "mean_dice": 0.9, "dice": dice, "val_loss": 2 / epoch})


def column(charts, table, name):
    array = charts.nodes[table].GetTable().GetColumnByName(name)
    return [array.GetValue(row) for row in range(array.GetNumberOfTuples())]


@pytest.fixture
def charts(scene):
    return Charts()


def test_losses_and_dice_are_in_the_tables_and_in_the_colours_of_the_segments(charts):
    assert charts.show(FakeWatch(6), CLASSES)
    assert column(charts, "losses", "epoch") == [1, 2, 3, 4, 5, 6]
    assert column(charts, "losses", "training loss") == [1 / n for n in range(1, 7)]
    assert column(charts, "validations", "epoch") == [2, 4, 6]
    assert column(charts, "validations", "validation loss") == [1, 0.5, 1 / 3]
    assert column(charts, "validations", dice_column("liver")) == [0.9] * 3
    assert all(math.isnan(value) for value in column(charts, "validations", dice_column("tumor")))
    dice = charts.nodes["dice"]
    series = [dice.GetNthPlotSeriesNode(n) for n in range(dice.GetNumberOfPlotSeriesNodes())]
    assert [item.GetName() for item in series] == ["liver", "tumor", "mean"]
    assert series[0].GetColor() == pytest.approx((221 / 255, 130 / 255, 101 / 255))
    kind = slicer.vtkMRMLPlotSeriesNode
    for item in series:
        assert item.GetPlotType() == kind.PlotTypeScatter and item.GetLineStyle() == kind.LineStyleSolid
        assert item.GetTableNode() is charts.nodes["validations"] and item.GetXColumnName() == "epoch"
    assert dice.GetYAxisRange() == (0, 1) and not dice.GetYAxisRangeAuto()
    assert charts.nodes["loss"].GetNumberOfPlotSeriesNodes() == 2


def test_the_model_that_a_training_started_from_is_the_first_point(charts):
    watch = FakeWatch()
    first = {"epoch": 0, "mean_dice": 0.81, "dice": {"liver": 0.81, "tumor": None}, "val_loss": 0.4}
    watch.validations.append(first)
    assert charts.show(watch, CLASSES), "before any epoch"
    assert charts.nodes["dice"].GetNumberOfPlotSeriesNodes() == 0, "a point is no line"
    watch.add(2)
    charts.show(watch, CLASSES)
    assert column(charts, "validations", "epoch") == [0, 2] and column(charts, "losses", "epoch") == [1, 2]
    assert column(charts, "validations", dice_column("liver")) == [0.81, 0.9]
    assert charts.nodes["dice"].GetNumberOfPlotSeriesNodes() == 3 and charts.nodes["dice"].GetXAxisRange()[0] == 0


def plot_widget(chart, scene):
    """Slicer's widget that shows a chart from now on."""
    node = scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    node.SetAndObserveParentLayoutNodeID(chart.GetID())  # else it would be one of the layout's views
    widget = slicer.qMRMLPlotWidget()
    widget.setMRMLScene(scene)
    widget.setMRMLPlotViewNode(node)
    node.SetPlotChartNodeID(chart.GetID())
    widget.resize(300, 200)
    return widget


def shown_ranges(widget):
    widget.grab()
    view = widget.plotView()
    axes = view.chart().GetAxis(vtk.vtkAxis.BOTTOM), view.chart().GetAxis(vtk.vtkAxis.LEFT)
    return [(axis.GetMinimum(), axis.GetMaximum()) for axis in axes]


def test_the_axes_follow_the_training(charts, scene):
    watch = FakeWatch(6)
    charts.show(watch, CLASSES)
    views = {name: plot_widget(charts.nodes[name], scene) for name in ("loss", "dice")}
    assert shown_ranges(views["loss"])[0] == (0, 6) and shown_ranges(views["dice"]) == [(0, 6), (0, 1)]
    watch.add(194)
    charts.show(watch, CLASSES)
    across, up = shown_ranges(views["loss"])
    assert across == (0, 200) and up[0] <= 1 / 200 and 1 <= up[1] < 2.1
    assert shown_ranges(views["dice"]) == [(0, 200), (0, 1)]


def test_a_loss_that_falls_far_is_logarithmic(charts):
    watch = FakeWatch(6)
    charts.show(watch, CLASSES)
    assert not charts.nodes["loss"].GetYAxisLogScale(), "from 1 to 1/6"
    watch.add(13)
    charts.show(watch, CLASSES)
    assert charts.nodes["loss"].GetYAxisLogScale() and charts.nodes["loss"].GetYAxisRange() == (0.05, 1)
    assert not charts.nodes["dice"].GetYAxisLogScale()
    watch.epochs[3]["train_loss"] = -0.1  # as a boundary loss can be
    watch.rewinds += 1
    charts.show(watch, CLASSES)
    low, high = charts.nodes["loss"].GetYAxisRange()
    assert not charts.nodes["loss"].GetYAxisLogScale() and low < -0.1 and 1 < high < 1.2


@pytest.mark.parametrize(
    ("losses", "axis"),
    [((0.03, 0.9), ((0.02, 1.0), True)), ((0.1, 1.0), ((0.055, 1.045), False)), ((0.0, 5.0), ((-0.25, 5.25), False)),
     ((1e-7, 3e4), ((1e-7, 5e4), True)), ((2.0, 2.0), ((1.9, 2.1), False)), ((0.0, 0.0), ((-1.0, 1.0), False)),
     ((5e-324, 1.7e308), ((-5e298, 1.05e300), False)), ((1e-200, 1.7e308), ((1e-200, 1e300), True))],
)  # fmt: skip
def test_ranges_of_losses(losses, axis):
    (low, high), log = loss_axis(losses)
    assert ((low, high), log) == (pytest.approx(axis[0]), axis[1])


def test_what_the_user_has_enlarged_stays_until_he_shows_all_again(charts):
    """Slicer's plot view writes what he does with wheel and mouse into the chart node."""
    watch = FakeWatch(6)
    charts.show(watch, CLASSES)
    loss, dice = charts.nodes["loss"], charts.nodes["dice"]
    assert charts.zoomed == frozenset()
    loss.SetXAxisRange(2, 4)
    assert charts.zoomed == {"loss"}
    watch.add(4)
    charts.show(watch, CLASSES)
    assert loss.GetXAxisRange() == (2, 4) and loss.GetYAxisRange()[1] > 1
    assert dice.GetXAxisRange() == (0, 10), "the other chart follows"
    loss.SetYAxisRange(0.1, 0.3)
    watch.add(20)
    charts.show(watch, CLASSES)
    assert (loss.GetXAxisRange(), loss.GetYAxisRange()) == ((2, 4), (0.1, 0.3))
    charts.show_all("loss")
    assert loss.GetXAxisRange() == (0, 30) and loss.GetYAxisRange()[0] <= 1 / 30 and charts.zoomed == frozenset()
    watch.add(2)
    charts.show(watch, CLASSES)
    assert loss.GetXAxisRange() == (0, 32)


def test_a_view_of_everything_and_more_follows_the_training(charts):
    watch = FakeWatch(6)
    charts.show(watch, CLASSES)
    charts.nodes["loss"].SetXAxisRange(-3, 12)
    assert charts.zoomed == frozenset()
    watch.add(1)
    charts.show(watch, CLASSES)
    assert charts.nodes["loss"].GetXAxisRange() == (0, 7)


def test_the_curves_of_another_job_are_seen_whole(charts):
    charts.show(FakeWatch(6), CLASSES)
    charts.nodes["loss"].SetXAxisRange(2, 4)
    charts.show(FakeWatch(9), CLASSES)
    assert charts.nodes["loss"].GetXAxisRange() == (0, 9) and charts.zoomed == frozenset()


def test_a_line_comes_onto_its_chart_with_its_second_point(charts, scene):
    watch = FakeWatch(1)
    charts.show(watch, CLASSES)
    views = [plot_widget(charts.nodes[name], scene) for name in ("loss", "dice")]
    counts = []
    for _ in range(4):
        counts.append([charts.nodes[name].GetNumberOfPlotSeriesNodes() for name in ("loss", "dice")])
        for view in views:
            view.grab()  # VTK prints an error for a line of fewer points
        watch.add(1)
        charts.show(watch, CLASSES)
    assert counts == [[0, 0], [1, 0], [1, 0], [2, 3]]
    del watch.epochs[1:], watch.validations[:]
    watch.rewinds += 1
    charts.show(watch, CLASSES)
    assert [charts.nodes[name].GetNumberOfPlotSeriesNodes() for name in ("loss", "dice")] == [0, 0]


def test_one_class_needs_no_mean(charts):
    charts.show(FakeWatch(4), CLASSES[:1])
    assert charts.nodes["dice"].GetNumberOfPlotSeriesNodes() == 1


def test_new_points_are_appended_and_each_chart_is_drawn_once(charts):
    watch = FakeWatch(4)
    charts.show(watch, CLASSES)
    drawn = {"loss": 0, "dice": 0}
    for name in drawn:

        def count(caller, event, name=name):
            drawn[name] += 1

        charts.nodes[name].AddObserver(vtk.vtkCommand.ModifiedEvent, count)
    array = charts.nodes["losses"].GetTable().GetColumnByName("epoch")
    assert not charts.show(watch, CLASSES)
    assert drawn == {"loss": 0, "dice": 0}
    watch.add(2)
    assert charts.show(watch, CLASSES)
    assert drawn == {"loss": 1, "dice": 1}
    assert charts.nodes["losses"].GetTable().GetColumnByName("epoch") is array and array.GetNumberOfTuples() == 6


@pytest.mark.parametrize("steps", [[MOST_ROWS], [MOST_ROWS + 1], [5000], [300, 300, 7, 1, 1, 400, 3], [1] * 900])
def test_a_long_training_is_thinned_out_and_ends_with_the_newest_point(charts, steps):
    watch = FakeWatch()
    for step in steps:
        watch.add(step)
        charts.show(watch, CLASSES)
    shown = column(charts, "losses", "epoch")
    assert len(shown) <= MOST_ROWS + 1 and shown[0] == 1 and shown[-1] == sum(steps)
    gaps = {second - first for first, second in pairwise(shown[:-1])}
    assert len(gaps) == 1 and shown == sorted(set(shown))
    assert len(shown) > MOST_ROWS // 4


def test_points_that_were_taken_back_go(charts):
    watch = FakeWatch(6)
    charts.show(watch, CLASSES)
    del watch.epochs[3:]
    del watch.validations[1:]
    watch.rewinds += 1
    watch.epochs += [{"epoch": 4, "train_loss": 9.0}]
    charts.show(watch, CLASSES)
    assert column(charts, "losses", "training loss") == [1, 1 / 2, 1 / 3, 9]
    assert column(charts, "validations", "epoch") == [2]


def test_nodes_that_the_scene_lost_are_made_anew(charts, scene):
    watch = FakeWatch(4)
    charts.show(watch, CLASSES)
    charts.forget()
    scene.Clear()
    charts.show(watch, CLASSES)
    assert column(charts, "losses", "epoch") == [1, 2, 3, 4]
    scene.RemoveNode(charts.nodes["dice"])
    charts.show(watch, CLASSES)
    assert charts.nodes["dice"].GetScene() is scene


def test_another_panel_and_another_job_take_the_nodes_over(charts, scene):
    def count():
        kinds = ("vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode")
        return [scene.GetNumberOfNodesByClass(kind) for kind in kinds]

    charts.show(FakeWatch(4), CLASSES)
    assert count() == [2, 5, 2]
    later = Charts()
    later.show(FakeWatch(2), CLASSES)
    assert count() == [2, 5, 2] and column(later, "losses", "epoch") == [1, 2]
    later.show(FakeWatch(2), CLASSES[:1])
    assert count() == [2, 3, 2]


def test_they_are_not_saved_and_only_charts_are_listed(charts):
    charts.show(FakeWatch(2), CLASSES)
    assert not any(node.GetSaveWithScene() for node in charts.nodes.values())
    assert {key for key, node in charts.nodes.items() if not node.GetHideFromEditors()} == {"loss", "dice"}
