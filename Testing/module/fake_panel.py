"""A panel of fakes around the real section Train, and what a training writes while it works."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.train.section import TrainSection

from MedSegTrainerLib.events import Best, Epoch, Planned, Progress, Stage, Started, Validated

ROOT = Path(__file__).resolve().parents[2]
PLAN = {
    "device": {"value": "NVIDIA RTX 4070", "reason": ""},
    "split": {"value": "2 of 3 cases train, 1 validate; with fewer than 20 cases none are kept aside", "reason": ""},
    "dims": {"value": "3D", "reason": "the images are volumes"},
    "network": {"value": "PlannedUNet", "reason": "guide <CNNs>"},
    "spacing": {"value": [3.0, 1.5, 1.5], "reason": "median"},
}
RATE = {"setting": "learning_rate", "current": "0.01", "suggested": "0.001", "why": "too high"}


class FakeEnvironment:
    problem, device = "", "cuda:1"

    def __init__(self):
        self.started = []
        self.error = None

    def start(self, folder):
        if self.error:
            raise self.error
        self.started.append(folder)
        folder.log_file.touch()

    def start_command(self, arguments, output):
        command = [sys.executable, "-m", "MedSegTrainerLib", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


class FakeData:
    told = ""

    def __init__(self, classes):
        self.classes = classes

    def problem(self):
        return self.told


class FakePanel:
    entered = True

    def __init__(self, root):
        self.given, self.chosen, self.refreshed = [], [], 0
        self.jobs, self.environment, self.data = JobList(root), FakeEnvironment(), FakeData(self.chosen)
        self.train = TrainSection(self)
        self.parameters = None

    def resourcePath(self, name):
        return str(ROOT / "MedSegTrainer" / "Resources" / name)

    def rows(self):
        return self.given

    all_rows = rows

    def classes(self):
        return self.chosen

    @contextmanager
    def changing(self):
        yield
        self.refresh()

    def refresh(self):
        self.refreshed += 1
        self.train.refresh()

    def setParameterNode(self, parameters):
        self.parameters = parameters
        self.train.setParameterNode(parameters)


@pytest.fixture
def panel(scene, tmp_path):
    """A panel of fakes, shown, with jobs of the test's own; in a file of tests that names it, instead of the whole."""
    panel = FakePanel(tmp_path / "jobs")
    panel.train.uiWidget.resize(400, 1000)
    panel.train.uiWidget.show()
    panel.setParameterNode(new_parameters())
    yield panel
    panel.train.cleanup()
    panel.train.uiWidget.hide()


@pytest.fixture
def train(panel):
    return panel.train


@pytest.fixture
def job(train):
    return train.job


@pytest.fixture
def cases(panel, make_volume, make_segmentation):
    """Three volumes with a liver, on the panel."""
    for number in (1, 2, 3):
        name = f"CT_0{number}"
        array = np.zeros((6, 7, 8), dtype=np.int16)
        volume = make_volume(name, array)
        segmentation = make_segmentation(f"{name}-seg", volume, {"liver": array == 0})
        panel.given.append(CaseRow(name=name, volumes=(volume,), segmentation=segmentation))
    panel.chosen.append(
        SegmentClass(name="liver", segments=("liver",), color=(221, 130, 101), terminology="", cases=3, ml=1.0, value=1)
    )
    panel.refresh()
    return panel.given


def new_parameters():
    return Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def per_case(dice):
    """Two held-out cases; the second does worse, in the tumor above all."""
    better = {"liver": dice + 0.07, "tumor": dice + 0.05}
    return {"CT_02": better, "CT_03": {"liver": dice + 0.03, "tumor": dice - 0.15}}


def training(epochs=3):
    yield Started(job="a", host="h", pid=1, version="0")
    yield Planned(choices=PLAN)
    yield Stage(name="train", message="Training", total=epochs * 20)
    for number in range(1, epochs + 1):
        dice = 0.9 - 0.5 / number
        yield Epoch(
            epoch=number, epochs=epochs * 2, step=number * 10, train_loss=1 / number, learning_rate=1e-3,
            gradient_norm=1.0, seconds=9.0,
        )  # fmt: skip
        yield Progress(done=number * 10, total=epochs * 20, eta_seconds=480.0)
        yield Validated(
            epoch=number, minutes=number / 2, mean_dice=dice, dice={"liver": dice + 0.05, "tumor": dice - 0.05},
            per_case=per_case(dice), metrics={"val_loss": 1.2 / number},
        )  # fmt: skip
        yield Best(epoch=number, mean_dice=dice)


def put_preview(folder, case, epoch, **more):
    folder.previews.mkdir(exist_ok=True)
    (folder.previews / "latest.json").write_text(json.dumps({"case": case, "epoch": epoch, **more}))
