"""The choice of what becomes of segments that overlap, in the whole panel."""

import numpy as np
import pytest
import qt
from MedSegTrainerUI.data.tables import FINDINGS
from tooltips import tooltip


@pytest.fixture(autouse=True)
def home(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))


@pytest.fixture
def nested(panel, make_volume, make_segmentation):
    """A panel with a tumor inside of a liver, and another beside it, which is enough to be meant."""
    liver = np.zeros((6, 8, 10), bool)
    liver[1:5, 1:6, 1:8] = True
    tumor = np.zeros_like(liver)
    tumor[2:4, 3:7, 3:7] = True
    volume = make_volume("CT", np.arange(480, dtype=np.int16).reshape(liver.shape))
    make_segmentation("CT-seg", volume, {"liver": liver, "tumor": tumor})
    panel.data.onAddAll()
    panel.folding.open("data")
    return panel


def choose(panel, index):
    selector = panel.data.ui.overlapSelector
    selector.setCurrentIndex(index)
    selector.activated(index)


def test_it_is_there_where_segments_overlap(panel, make_volume, make_segmentation):
    assert not panel.data.ui.overlapFrame.visible
    mask = np.zeros((6, 8, 10), bool)
    mask[1:5, 1:6, 1:8] = True
    make_segmentation("CT-seg", make_volume("CT", np.arange(480, dtype=np.int16).reshape(mask.shape)), {"liver": mask})
    panel.data.onAddAll()
    assert panel.data.ready and not panel.data.ui.overlapFrame.visible


def test_overlapping_classes_are_what_is_trained_and_it_is_told_before_start(nested, screenshot):
    ui = nested.data.ui
    assert nested.data.ready and ui.overlapFrame.visible
    assert ui.overlapSelector.currentText == "each is learned whole" and "A voxel can have several" in tooltip(
        ui.overlapSelector
    )
    assert ui.problemLabel.text.startswith("Segments overlap in CT: a voxel can have several classes")
    screenshot(nested.uiWidget, "data-overlap")


def test_the_other_ways_are_kept_in_the_scene_and_reset(nested):
    ui = nested.data.ui
    choose(nested, 2)
    assert nested.parameters.overlap == "refuse" and not nested.data.ready
    problem = nested.data.problem()
    assert "'liver' and 'tumor' overlap" in problem and "'Where segments overlap'" in problem
    choose(nested, 1)
    assert nested.parameters.overlap == "order" and nested.data.ready and ui.problemLabel.text == ""
    assert "the later class wins" in ui.pairsTable.item(0, FINDINGS).text()
    ui.resetButton.click()
    assert nested.parameters.overlap == "masks" and ui.overlapSelector.currentIndex == 0


def test_an_unknown_choice_of_a_later_version_is_the_first(nested):
    nested.parameters.overlap = "blend"
    assert nested.data.ui.overlapSelector.currentIndex == 0 and nested.data.ready
