import time

import pytest
import slicer
from MedSegTrainerUI.data.scene_observer import SceneWatch

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def told():
    return []


@pytest.fixture
def watch(told):
    watch = SceneWatch(lambda: told.append(True), seconds_between=0)
    watch.start()
    yield watch
    watch.stop()


def wait(seconds=0.6):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()


def test_many_changes_are_told_once_and_later(watch, told):
    watch.looked([])
    for _ in range(5):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert told == [] and watch.stale and watch.waiting
    wait()
    assert told == [True]


def test_segments_of_followed_nodes_count_and_those_of_others_do_not(watch, told):
    followed, other = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode") for _ in range(2))
    watch.looked([followed])
    other.GetSegmentation().AddEmptySegment("a", "a")
    assert not watch.stale
    followed.GetSegmentation().AddEmptySegment("a", "a")
    assert watch.stale
    watch.looked([followed])
    assert not watch.stale and not watch.waiting
    followed.GetSegmentation().GetSegment("a").SetName("b")
    assert watch.stale
    watch.looked([])
    followed.GetSegmentation().RemoveSegment("a")
    assert not watch.stale


def test_a_node_that_went_is_noticed(watch, told):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    watch.looked([volume])
    slicer.mrmlScene.RemoveNode(volume)
    assert watch.stale
    watch.looked([])
    assert not watch.stale


def test_it_waits_between_two_looks():
    watch = SceneWatch(lambda: None, seconds_between=3600)
    watch.looked([])
    watch.onChange(None, "")
    wait()
    assert watch.waiting
    watch.stop()


def test_after_stop_the_scene_is_left_alone(watch, told):
    watch.looked([])
    watch.stop()
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    wait()
    assert told == [] and watch.Observations == []
