import numpy as np
import pytest
import qt
import slicer
from MedSegTrainerUI.apply.volume_chooser import VolumeChooser


@pytest.fixture
def chooser(scene, medsegtrainer):
    widget = slicer.util.loadUI(str(_resource(medsegtrainer)))
    widget.setMRMLScene(scene)
    changes = []
    made = VolumeChooser(slicer.util.childWidgetVariables(widget), lambda: changes.append(1))
    made.changes, made.widget = changes, widget
    return made


def _resource(module):
    from pathlib import Path

    return Path(module.path).parent / "Resources" / "UI" / "ApplySection.ui"


@pytest.fixture
def volumes(scene):
    return [slicer.util.addVolumeFromArray(np.zeros((2, 3, 4)), name=name) for name in ("T1", "T2", "FLAIR")]


def check(chooser, *nodes):
    for node in nodes:
        chooser.ui.volumesSelector.setCheckState(node, qt.Qt.Checked)


def test_one_channel_takes_several_volumes(chooser, volumes):
    assert chooser.cases() == [] and chooser.problem() == "Choose one or several volumes."
    check(chooser, volumes[0], volumes[2])
    assert chooser.cases() == [(volumes[0],), (volumes[2],)] and chooser.problem() == "" and len(chooser.changes) == 2


def test_several_channels_take_a_volume_each_in_their_order(chooser, volumes):
    check(chooser, volumes[1])
    chooser.set_channels(["T2", "T1"])
    assert not chooser.ui.volumesSelector.isVisibleTo(chooser.widget)
    assert chooser.ui.channelsWidget.layout().rowCount() == 2
    first, second = chooser._combos
    assert first.currentNode() is volumes[1], "what was chosen before stays"
    assert chooser.cases() == [] and chooser.problem() == "Choose a volume for each channel: T1."
    second.setCurrentNode(volumes[0])
    assert chooser.cases() == [(volumes[1], volumes[0])] and chooser.problem() == ""


def test_the_way_back_to_one_channel(chooser, volumes):
    chooser.set_channels(["a", "b", "c"])
    chooser.set_channels(["CT"])
    assert chooser.ui.channelsWidget.layout().rowCount() == 0
    check(chooser, volumes[0])
    assert chooser.cases() == [(volumes[0],)]


@pytest.mark.parametrize("channels", [["CT"], ["a", "b"]])
def test_the_choice_is_remembered_in_the_scene(chooser, volumes, scene, channels):
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    chooser.set_channels(channels)
    check(chooser, volumes[0], volumes[1])
    for combo, volume in zip(chooser._combos, volumes, strict=False):
        combo.setCurrentNode(volume)
    chooser.remember(node)
    stamp = node.GetMTime()
    chooser.remember(node)
    assert node.GetMTime() == stamp, "nothing is written again"
    expected = chooser.cases()
    for volume in volumes:
        chooser.ui.volumesSelector.setCheckState(volume, qt.Qt.Unchecked)
    for combo in chooser._combos:
        combo.setCurrentNode(None)
    assert chooser.cases() == []
    chooser.restore(node)
    assert chooser.cases() == expected and expected


def test_label_maps_are_no_volumes_to_segment(chooser, volumes, scene):
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    check(chooser, *volumes)
    assert [case[0].GetName() for case in chooser.cases()] == ["T1", "T2", "FLAIR"]
