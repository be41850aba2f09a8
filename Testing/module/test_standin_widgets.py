"""Widgets of CTK and Slicer, and what .ui files do with them."""

from __future__ import annotations

import ctk
import numpy as np
import pytest
import qt
import slicer

failures = pytest.importorskip("slicer_standin.failures", reason="the application is no stand-in")

UI = """<?xml version="1.0"?><ui version="4.0"><class>A</class><widget class="qMRMLWidget" name="A">
<layout class="QVBoxLayout" name="column">{items}</layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>a.h</header>
<container>1</container></customwidget>{custom}</customwidgets><connections>{connections}</connections></ui>"""
NODES = "<customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>a.h</header></customwidget>"
SELECTOR = '<item><widget class="qMRMLNodeComboBox" name="selector">{properties}</widget></item>'
CONNECTION = (
    "<connection><sender>A</sender><signal>{signal}</signal><receiver>selector</receiver>"
    "<slot>setMRMLScene(vtkMRMLScene*)</slot></connection>"
)


@pytest.fixture
def load(scene, tmp_path):
    def load(items, custom=NODES, connections=""):
        path = tmp_path / "A.ui"
        path.write_text(UI.format(items=items, custom=custom, connections=connections))
        widget = slicer.util.loadUI(str(path))
        return widget, slicer.util.childWidgetVariables(widget)

    return load


def test_the_scene_goes_only_along_the_connections(load):
    for connection, scene in (
        (CONNECTION.format(signal="mrmlSceneChanged(vtkMRMLScene*)"), slicer.mrmlScene),
        ("", None),
    ):
        widget, ui = load(SELECTOR.format(properties=""), connections=connection)
        widget.setMRMLScene(slicer.mrmlScene)
        assert ui.selector.mrmlScene() is scene


@pytest.mark.parametrize("case, words", [
    (dict(items=SELECTOR.format(properties=""), custom=""), "not among <customwidgets>"),
    (dict(items=SELECTOR.format(properties='<property name="nodeTyps"><string>a</string></property>')), "no property"),
    (dict(items=SELECTOR.format(properties=""), connections=CONNECTION.format(signal="changed()")), "No such signal"),
])  # fmt: skip
def test_mistakes_in_a_ui_file_are_noted(load, case, words):
    load(**case)
    assert words in "".join(failures.take())


def test_a_collapsed_button_hides_what_it_contains(scene):
    button, changes = ctk.ctkCollapsibleButton(), []
    button.text = "Training data"
    column = qt.QVBoxLayout(button)
    shown, hidden = qt.QLabel("a"), qt.QLabel("b")
    column.addWidget(shown)
    column.addWidget(hidden)
    hidden.visible = False
    button.connect("contentsCollapsed(bool)", changes.append)
    button.show()
    button.collapsed = True
    assert not shown.visible and button.checked is False and button.maximumHeight < 40
    shown.visible = True  # stays hidden until the button opens
    assert not shown.visible
    button.click()
    assert shown.visible and not hidden.visible and changes == [True, False]


def test_a_path_edit_remembers_under_its_key(scene):
    edit, paths = ctk.ctkPathLineEdit(), []
    edit.settingKey = "MedSegTrainer/Models"
    edit.connect("currentPathChanged(QString)", paths.append)
    edit.currentPath = "/models/a"
    edit.addCurrentPathToHistory()
    assert paths == ["/models/a"]
    other = ctk.ctkPathLineEdit()
    other.settingKey = "MedSegTrainer/Models"
    assert other.comboBox().count == 1
    edit.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Readable
    with pytest.raises(AttributeError):
        edit.currentPath = None


def test_a_node_chooser_follows_the_scene(scene, make_volume):
    selector, chosen, valid = slicer.qMRMLNodeComboBox(), [], []
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.setMRMLScene(scene)
    selector.connect("currentNodeChanged(vtkMRMLNode*)", chosen.append)
    selector.connect("currentNodeChanged(bool)", valid.append)
    volume = make_volume("CT", np.zeros((2, 3, 4), np.int16))
    assert selector.currentNode() is None and selector.nodeCount() == 1
    selector.setCurrentNode(volume)
    assert selector.currentNode() is volume and selector.currentNodeID == volume.GetID()
    scene.RemoveNode(volume)
    assert chosen == [volume, None] and valid == [True, False]
    selector.noneEnabled = False
    first, last, chosen_one = [make_volume(name, np.zeros((2, 3, 4), np.int16)) for name in "abc"]
    assert selector.currentNode() is None
    selector.setCurrentNode(chosen_one)
    scene.RemoveNode(chosen_one)
    assert selector.currentNode() is last and first in selector.nodes()
    selector.noneEnabled = True
    selector.setCurrentNode(first)
    scene.RemoveNode(first)
    assert selector.currentNode() is last
    scene.Clear()
    assert selector.currentNode() is None and chosen[-2:] == [last, None]


def test_a_checkable_chooser_checks_nodes(scene, make_volume):
    selector, changes = slicer.qMRMLCheckableNodeComboBox(), []
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    selector.connect("checkedNodesChanged()", lambda: changes.append(len(selector.checkedNodes())))
    first = make_volume("a", np.zeros((2, 3, 4), np.int16))
    second = make_volume("b", np.zeros((2, 3, 4), np.int16))
    assert selector.noneChecked()
    selector.setCheckState(second, qt.Qt.Checked)
    assert selector.checkedNodes() == (second,) and selector.uncheckedNodes() == (first,)
    scene.RemoveNode(second)
    assert selector.checkedNodes() == () and changes == [1], "nobody is told"
    selector.setCheckState(first, qt.Qt.Checked)
    assert changes == [1, 1]
    assert selector.checkState(None) == qt.Qt.Unchecked


def test_segments_are_listed_and_chosen(scene, make_volume, make_segmentation):
    volume = make_volume("CT", np.zeros((2, 3, 4), np.int16))
    node = make_segmentation("seg", volume, {"liver": None, "tumor": None})
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(scene)
    table.setSegmentationNode(node)
    ids = node.GetSegmentation().GetSegmentIDs()
    table.setSelectedSegmentIDs([ids[1]])
    assert table.segmentCount == 2 and table.selectedSegmentIDs() == (ids[1],)
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(scene)
    selector.multiSelection = True
    selector.setCurrentNode(node)
    selector.setSelectedSegmentIDs([ids[0]])
    assert selector.selectedSegmentIDs() == (ids[0],) and selector.segmentIDs() == tuple(ids)
    node.GetSegmentation().RemoveSegment(ids[0])
    assert table.segmentCount == 1 and selector.selectedSegmentIDs() == ()


def test_a_plot_widget_paints_its_curves(scene, screenshot):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "t")
    slicer.util.updateTableFromArray(table, np.array([[0, 0.1], [1, 0.6], [2, 0.8]]), ["epoch", "dice"])
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "liver")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("epoch")
    series.SetYColumnName("dice")
    series.SetPlotType(series.PlotTypeScatter)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetColor(1, 0, 0)
    series.SetLineWidth(3)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "Dice")
    chart.SetXAxisTitle("epoch")
    chart.SetYAxisTitle("Dice")
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0, 1)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    view = scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    view.SetAndObserveParentLayoutNodeID(chart.GetID())  # else it would be one of the layout's views
    widget = slicer.qMRMLPlotWidget()
    widget.setMRMLScene(scene)
    widget.setMRMLPlotViewNode(view)
    widget.resize(400, 200)
    assert _red(screenshot(widget, "plot_empty")) == 0
    view.SetPlotChartNodeID(chart.GetID())
    assert _red(screenshot(widget, "plot")) > 300


def _red(path):
    image = qt.QImage(str(path))
    colors = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
    return sum(color.red() > 200 and color.green() < 60 for color in colors)
