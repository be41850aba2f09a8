import json
import math
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from MedSegTrainerUI.evaluate.run import compare_names, fill_table, read_table
from MedSegTrainerUI.evaluate.section import EvaluateSection
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.label_files import read_layers
from tooltips import tooltip

from MedSegTrainerLib.errors import DataError, JobError
from MedSegTrainerLib.events import EventLog, Failed, Finished
from MedSegTrainerLib.job_status import Status


class Panel:
    """A panel of one section, with an environment that starts nothing; ``play`` does the work of the process."""

    def __init__(self, root, module):
        self.jobs, self.environment = JobList(root), self
        self.ready, self.problem, self.error = True, "", None
        self._module = module
        self.section = self.folder = None

    def resourcePath(self, name):
        return str(Path(self._module.path).parent / "Resources" / name)

    @contextmanager
    def changing(self):
        yield
        self.refresh()

    def refresh(self):
        if self.section is not None:
            self.section.refresh()

    def open(self, parameters=None):
        self.section = EvaluateSection(self)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode") if parameters is None else None
        self.section.setParameterNode(parameters or Parameters(node))
        self.refresh()
        return self.section

    def start(self, folder):
        if self.error:
            raise self.error
        self.folder = folder
        self.status(state="running")

    def status(self, **fields):
        now = {"kind": "evaluate", "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time() + 1}
        self.folder.status_file.write_text(json.dumps(asdict(Status(**{**now, **fields}))))

    def play(self, values):
        (case,) = self.folder.read_document()["config"]["references"]
        self.folder.report.mkdir()
        (self.folder.report / "metrics.json").write_text(json.dumps({"cases": {case: values}}))
        (self.folder.report / "report.html").write_text("<p>report</p>")
        self.end(Finished(message="", result=""))

    def end(self, event):
        EventLog(self.folder.events_file)(event)
        self.status(state="finished")


@pytest.fixture
def panel(scene, medsegtrainer, tmp_path):
    return Panel(tmp_path / "jobs", medsegtrainer)


@pytest.fixture
def section(panel):
    return panel.open()


@pytest.fixture
def masks():
    array = np.zeros((5, 7, 9), np.uint8)
    array[1:4, 1:6, 2:7] = 1
    return array


@pytest.fixture
def pair(make_volume, make_segmentation, masks):
    """A volume, a prediction and a reference with two segments in common, in another order."""
    volume = make_volume("CT 04", masks * 100)
    other = np.roll(masks, 3, axis=2) & ~masks
    prediction = make_segmentation("predicted", volume, {"tumor": other, "liver": masks, "extra": None})
    reference = make_segmentation("by hand", volume, {"Liver": masks, "tumor": None, "bone": other})
    return volume, prediction, reference


def message(section):
    label = section.ui.messageLabel
    return label.text if not label.isHidden() else ""


def choose(section, volume, prediction, reference):
    section.ui.volumeSelector.setCurrentNode(volume)
    section.ui.predictionSelector.setCurrentNode(prediction)
    section.ui.referenceSelector.setCurrentNode(reference)


VALUES = {
    "Liver": {"dice": 0.9123, "hd95_mm": 1.5, "volume_ml": 10.0, "predicted_volume_ml": 11.0},
    "tumor": {"dice": 0.0, "hd95_mm": None, "volume_ml": 0.0, "predicted_volume_ml": 2.0},
}


class TestNames:
    def test_what_both_have_and_what_one_has(self, pair):
        volume, prediction, reference = pair
        found = compare_names(prediction, reference, volume)
        assert [item.name for item in found.both] == ["Liver", "tumor"]
        assert found.only_prediction == ("extra",) and found.only_reference == ("bone",)

    def test_nothing_in_common(self, pair, make_segmentation, masks):
        volume, prediction, _ = pair
        other = make_segmentation("other", volume, {"spleen": masks})
        with pytest.raises(DataError, match=r"No segment has the same name.*other has spleen\. Rename"):
            compare_names(prediction, other, volume)


class TestMissing:
    def test_step_by_step(self, section, panel, pair):
        volume, prediction, reference = pair
        button, reason = section.ui.evaluateButton, section.ui.reasonLabel
        assert not button.enabled and reason.text.startswith("Choose a prediction and a reference")
        section.ui.predictionSelector.setCurrentNode(prediction)
        assert section.ui.volumeSelector.currentNode() is volume, "the volume it was made on"
        section.ui.referenceSelector.setCurrentNode(prediction)
        assert reason.text == "Choose two different segmentations."
        section.ui.referenceSelector.setCurrentNode(reference)
        assert button.enabled and reason.isHidden()
        section.ui.volumeSelector.setCurrentNode(None)
        assert tooltip(button) == "Choose the volume that was segmented."
        panel.ready, panel.problem = False, "Press Set up."
        section.refresh()
        assert reason.text == "Press Set up."

    def test_of_a_chosen_node_that_is_removed_no_other_takes_the_place(self, section, pair, make_volume, masks, scene):
        volume, prediction, reference = pair
        make_volume("another CT", masks)
        choose(section, *pair)
        for node in (prediction, volume):
            scene.RemoveNode(node)
        parameters = section.parameters
        assert parameters.evaluatePrediction is None and parameters.evaluateVolume is None
        assert section.ui.predictionSelector.currentNode() is None
        assert parameters.evaluateReference is reference

    def test_a_start_that_fails_leaves_nothing(self, section, panel, pair):
        choose(section, *pair)
        panel.error = JobError("no Python")
        section.onEvaluate()
        assert message(section) == "no Python" and list(panel.jobs.root.iterdir()) == []


class TestRun:
    def test_files_have_values_and_names(self, section, panel, pair, masks):
        choose(section, *pair)
        before = slicer.mrmlScene.GetNumberOfNodes()
        section.ui.evaluateButton.click()
        assert message(section) == "" and slicer.mrmlScene.GetNumberOfNodes() == before
        config = panel.folder.read_document()["config"]
        (case,) = config["references"]
        reference = Path(config["references"][case])
        predicted = Path(config["predictions"]) / reference.name
        assert (read_layers(reference)[0].array == masks).all()
        assert (read_layers(predicted)[0].array[masks > 0] == 1).all()
        assert set(np.unique(read_layers(predicted)[0].array)) == {0, 1, 2}
        for file in (reference, predicted):
            header = file.read_bytes().split(b"\n\n")[0]
            assert b"Segment0_Name:=Liver\nSegment0_Color:=" in header and b"Segment1_LabelValue:=2" in header
        assert Path(config["images"][case]).exists() and config["output_dir"] == str(panel.folder.report)

    def test_the_numbers_are_shown_and_stay_in_the_scene(self, section, panel, pair):
        ui = section.ui
        choose(section, *pair)
        section.onEvaluate()
        assert not ui.progressBar.isHidden() and ui.reportButton.isHidden() and not ui.evaluateButton.enabled
        panel.play(VALUES)
        section.onTimer()
        section.onTimer()
        assert section.run is None and message(section) == ""
        table = ui.resultsTable
        texts = [[table.item(row, column).text() for column in range(5)] for row in range(2)]
        assert texts == [["Liver", "0.912", "1.50", "10.00", "11.00"], ["tumor", "0.000", "-", "0.00", "2.00"]]
        assert ui.comparedLabel.text == (
            "predicted against by hand. Only in the prediction, not compared: extra. "
            "Only in the reference, not compared: bone."
        )
        (node,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        assert node.GetName() == "predicted evaluation" and node.GetNumberOfRows() == 2
        assert not ui.reportButton.isHidden() and ui.reportButton.enabled
        assert not (panel.folder.path / "data").exists()
        again = panel.open(section.parameters)
        assert again.ui.resultsTable.rowCount == 2 and again.ui.reportButton.enabled
        panel.jobs.remove(panel.folder)
        again.refresh()
        assert not again.ui.reportButton.enabled and "removed" in again.ui.reportButton.toolTip

    def test_a_second_evaluation_takes_the_table_of_the_first(self, section, panel, pair):
        choose(section, *pair)
        for dice in (0.5, 0.7):
            section.onEvaluate()
            panel.play({"Liver": {"dice": dice}})
            section.onTimer()
            section.onTimer()
        (node,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        assert read_table(node)[0][1][0] == 0.7 and section.ui.resultsTable.item(0, 1).text() == "0.700"

    def test_a_second_click_that_waited_starts_no_second_job(self, section, panel, pair):
        choose(section, *pair)
        qt.QTimer.singleShot(0, section.onEvaluate)
        section.onEvaluate()
        assert len(panel.jobs.all()) == 1 and section.run.folder == panel.folder

    def test_a_failure_is_one_message(self, section, panel, pair):
        choose(section, *pair)
        section.onEvaluate()
        panel.end(Failed(message="The disk is full.", error="StorageError", exit_code=1))
        section.onTimer()
        section.onTimer()
        assert message(section) == "The disk is full." and section.run is None

    def test_cancel(self, section, panel, pair):
        choose(section, *pair)
        section.onEvaluate()
        section.ui.cancelButton.click()
        panel.play(VALUES)
        section.onTimer()
        section.onTimer()
        assert section.run is None and not panel.folder.path.exists()
        assert slicer.util.getNodesByClass("vtkMRMLTableNode") == []
        assert message(section) == "The evaluation was cancelled."


def test_a_table_holds_what_was_put_in(scene):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    assert read_table(table) == []
    fill_table(table, VALUES, "words")
    rows = read_table(table)
    assert rows[0] == ("Liver", [0.9123, 1.5, 10.0, 11.0])
    assert rows[1][0] == "tumor" and math.isnan(rows[1][1][1]) and table.GetDescription() == "words"


def test_pictures(section, panel, pair, screenshot):
    section.uiWidget.setFixedWidth(420)
    section.uiWidget.show()

    def picture(name):
        slicer.app.processEvents()
        section.uiWidget.adjustSize()
        return screenshot(section.uiWidget, name)

    picture("evaluate-empty")
    choose(section, *pair)
    section.onEvaluate()
    picture("evaluate-running")
    panel.play(VALUES)
    section.onTimer()
    section.onTimer()
    assert section.ui.resultsTable.rowCount == 2
    picture("evaluate-done")


class TestOverlap:
    def test_segments_that_overlap_are_compared_each_as_a_whole(
        self, section, panel, make_volume, make_segmentation, masks
    ):
        volume = make_volume("CT", masks)
        whole, part = masks > 0, masks > 0
        part[:, :, :4] = False
        prediction = make_segmentation("predicted", volume, {"liver": whole, "tumor": part})
        reference = make_segmentation("by hand", volume, {"tumor": part, "Liver": whole & ~part})
        choose(section, volume, prediction, reference)
        section.ui.evaluateButton.click()
        assert message(section) == ""
        config = panel.folder.read_document()["config"]
        (reference_file,) = config["references"].values()
        predicted = read_layers(Path(config["predictions"]) / Path(reference_file).name)
        assert [layer.numbers for layer in predicted] == [{"tumor": 1}, {"Liver": 2}]
        assert (predicted[1].array == 2 * whole).all() and (predicted[0].array == part).all()
        (both,) = read_layers(Path(reference_file))
        assert (both.array == part + 2 * (whole & ~part)).all()
