"""One section at a time; the next opens when the one before is ready."""

from __future__ import annotations

import json
from typing import Any

import fake_panel as fake
import numpy as np
import pytest
import qt
from MedSegTrainerUI.shared.section_folding import SECTIONS, SectionFolding

from MedSegTrainerLib.events import EventLog, Measured


@pytest.fixture(autouse=True)
def home(scene: Any, tmp_path: Any) -> None:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


def opened(panel: Any) -> list[str]:
    return [name for name in SECTIONS if not getattr(panel.ui, f"{name}Button").collapsed]


def test_a_click_on_a_section_folds_the_others(panel):
    assert opened(panel) == ["environment"], "it is not set up"
    panel.ui.applyButton.click()
    assert opened(panel) == ["apply"] and panel.apply.uiWidget.visible and not panel.data.uiWidget.visible
    panel.ui.applyButton.click()
    assert opened(panel) == []


def test_all_can_be_open_and_that_is_remembered(panel):
    panel.ui.oneSectionCheckBox.click()
    assert opened(panel) == list(SECTIONS)
    panel.ui.dataButton.click()
    assert opened(panel) == list(SECTIONS[1:])
    ready = {"environment": True, "data": False, "train": False}
    assert not panel.ui.oneSectionCheckBox.checked
    SectionFolding(panel.ui, ready)
    assert not panel.ui.oneSectionCheckBox.checked and not panel.ui.trainButton.collapsed
    panel.ui.oneSectionCheckBox.click()
    assert len(opened(panel)) == 1


def test_data_hands_over_when_every_segmentation_of_the_scene_was_added(panel, make_volume, make_segmentation):
    voxels = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    for name in ("CT_01", "CT_02"):
        make_segmentation(f"{name}-seg", make_volume(name, voxels), {"liver": voxels > 300})
    panel.ui.dataButton.click()
    panel.data.ui.addAllButton.click()
    assert opened(panel) == ["train"]
    panel.ui.dataButton.click()
    panel.refresh()
    assert opened(panel) == ["data"], "the user has gone back"


def test_one_of_several_segmentations_added_hands_nothing_over(panel, make_volume, make_segmentation):
    voxels = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    volumes = [make_volume(name, voxels) for name in ("CT_01", "CT_02")]
    for volume in volumes:
        node = make_segmentation(f"{volume.GetName()}-seg", volume, {"liver": voxels > 300})
    panel.ui.dataButton.click()
    panel.data.ui.volumesSelector.setCheckState(volumes[1], qt.Qt.Checked)
    panel.data.ui.segmentationSelector.setCurrentNode(node)
    panel.data.ui.addPairButton.click()
    assert panel.data.problem() == "" and opened(panel) == ["data"]


@pytest.mark.parametrize(
    ("state", "measured", "following"),
    [("finished", False, "apply"), ("stopped", True, "apply"), ("stopped", False, "train"), ("failed", True, "train")],
)
def test_a_training_that_ends_with_a_model_opens_apply(panel, make_job, state, measured, following):
    folder = make_job(events=fake.training(), state="running")
    panel.ui.trainButton.click()
    panel.train.job.follow(folder)
    folder.model.mkdir()
    panel.onTimer()
    assert opened(panel) == ["train"]
    if measured:
        EventLog(folder.events_file)(Measured(cases=1, metrics={}, report="report"))
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": state}))
    panel.onTimer()
    assert opened(panel) == [following]


def test_an_earlier_training_that_is_looked_at_opens_nothing(panel, make_job):
    folder = make_job("earlier", events=fake.training(), state="finished")
    folder.model.mkdir()
    panel.ui.trainButton.click()
    panel.train.job.follow(folder)
    panel.onTimer()
    panel.refresh()
    assert opened(panel) == ["train"]


@pytest.mark.parametrize(
    ("environment", "data", "first"), [(False, False, "environment"), (True, False, "data"), (True, True, "train")]
)
def test_what_is_open_at_first(panel, environment, data, first):
    SectionFolding(panel.ui, {"environment": environment, "data": data, "train": False})
    assert opened(panel) == [first]


def test_a_training_that_went_on_while_slicer_was_closed_is_shown(panel, make_job):
    make_job(events=fake.training(), state="running")
    parameters = panel.parameters
    panel.setParameterNode(None)
    panel.setParameterNode(parameters)
    assert opened(panel) == ["train"]
    panel.ui.applyButton.click()
    panel.setParameterNode(parameters)
    assert opened(panel) == ["apply"], "it was shown before"


def test_what_is_ready_elsewhere_opens_nothing(panel):
    panel.ui.applyButton.click()
    for environment in (False, True):
        panel.folding.follow({"environment": environment, "data": environment, "train": False})
    assert opened(panel) == ["apply"]
    panel.ui.environmentButton.click()
    for environment in (False, True):
        panel.folding.follow({"environment": environment, "data": False, "train": False})
    assert opened(panel) == ["data"]
