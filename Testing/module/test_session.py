"""A whole session through the panel, on real volumes: from segments in the scene to a model, and back."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import played_session as played
import pytest
import qt
import slicer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "hippocampus"
TRAINING, FOURTH = ("hippocampus_001", "hippocampus_004", "hippocampus_006"), "hippocampus_007"
TWO_SLICES = [20, 38]  # coronal ones of the third case, one of each part
WIDTH = 440


@pytest.fixture(autouse=True)
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Any:
    if not DATA.is_dir():
        pytest.skip(f"needs real volumes in {DATA}")
    before = {name: slicer.util.settingsValue(f"MedSegTrainer/{name}", "") for name in ("Folder", "Python")}
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield tmp_path / "home"
    for name, value in before.items():
        qt.QSettings().setValue(f"MedSegTrainer/{name}", value)


class Pictures:
    """Of the sections while the session goes on."""

    def __init__(self, session: Any, widget: Any, screenshot: Any) -> None:
        self.session, self.widget, self.screenshot = session, widget, screenshot

    def __call__(self, name: str, *sections: str) -> None:
        self.session.open(*sections)
        parent = self.widget.parent
        parent.setFixedWidth(WIDTH)
        for _again in range(3):  # texts that wrap change the height that others need
            slicer.app.processEvents()
            needed = parent.heightForWidth(WIDTH)
            parent.setFixedHeight(needed if needed > 0 else parent.sizeHint.height())  # Slicer scrolls it
        self.screenshot(parent, name)


def play(pictures: Pictures, make_segmentation: Any, *, settings: Any, minutes: float) -> tuple[Any, Any, float]:
    """Everything up to the evaluation; the timings of the panel, the fourth volume, and the mean Dice there."""
    choose_environment(pictures)
    add_data(pictures, make_segmentation)
    choose_settings(pictures, settings)
    timings = played.Timings(pictures.session.panel)
    watch = pictures.session.start_training()
    see_training(pictures, watch, minutes)
    stop_and_keep(pictures, watch)
    fourth = played.load_hippocampus(DATA, FOURTH)
    segmentation = apply_model(pictures, watch, fourth)
    reference = played.load_hippocampus_label(DATA, FOURTH, fourth, make_segmentation)
    return timings, fourth, compare(pictures, segmentation, reference, fourth)


def choose_environment(pictures: Pictures) -> None:
    """Section 5: no environment yet, so it is open; a Python with PyTorch is chosen and tested."""
    panel = pictures.session.panel
    assert not panel.ui.environmentButton.collapsed and panel.environment.state == "new"
    pictures.session.choose_python()
    pictures("session-environment", "environment")


def add_data(pictures: Pictures, make_segmentation: Any) -> None:
    """Section 1: three volumes and what was drawn on them."""
    session, panel = pictures.session, pictures.session.panel
    volumes = [played.load_hippocampus(DATA, name) for name in TRAINING]
    for name, volume in zip(TRAINING, volumes, strict=True):
        played.load_hippocampus_label(DATA, name, volume, make_segmentation)
    session.open("data")
    panel.data.ui.addAllButton.click()
    assert [row.name for row in panel.rows()] == list(TRAINING)
    assert {item.name: item.cases for item in panel.classes()} == {"Anterior": 3, "Posterior": 3}
    assert panel.data.problem() == "" and panel.data.ui.statusLabel.text == "3 volumes, 2 classes, ready"
    pictures("panel-data", "data")


def choose_settings(pictures: Pictures, settings: Any) -> None:
    """Section 2: quick, and what the settings of the test say."""
    session = pictures.session
    session.open("train")
    session.panel.train.ui.quickRadio.click()
    if settings:
        session.set_advanced(settings)
    pictures("panel-train", "train")


def see_training(pictures: Pictures, watch: Any, minutes: float) -> None:
    """The job below Start: a prediction, curves, the best Dice and advice, while it goes on for these minutes."""
    panel, wait_for = pictures.session.panel, pictures.session.wait_for
    job = panel.train.job
    began = time.monotonic()
    wait_for(lambda: watch.best is not None and job.preview.case, 10 * played.MINUTE)
    assert job.ui.previewCheckBox.visible and job.ui.previewCheckBox.enabled
    if not job.ui.previewCheckBox.checked:  # the views show another case
        job.ui.previewCheckBox.click()
    wait_for(lambda: job.preview.node() is not None, played.MINUTE)
    assert "Prediction of" in job.preview.node().GetName() and job.ui.previewCheckBox.checked
    wait_for(lambda: time.monotonic() - began > 60 * minutes, 60_000 * minutes + played.MINUTE)
    assert watch.working, (job.ui.endingLabel.text, watch.folder.log_file.read_text()[-2000:])
    assert job.charts.nodes["losses"].GetNumberOfRows() == len(watch.epochs) > 0
    assert "best Dice" in job.ui.bestLabel.text and "Anterior" in job.ui.diceLabel.text
    assert job.ui.stopKeepButton.visible and not panel.train.ui.startButton.enabled
    assert job.ui.adviceFrame.isVisibleTo(panel.uiWidget) == bool(watch.advice)
    pictures("panel-job", "train")


def stop_and_keep(pictures: Pictures, watch: Any) -> None:
    """The training ends with a model, and its prediction is taken out of the views."""
    panel = pictures.session.panel
    job = panel.train.job
    job.ui.stopKeepButton.click()
    pictures.session.wait_for(lambda: not watch.working, 10 * played.MINUTE)
    assert watch.outcome is not None and watch.folder.model.exists(), job.ui.endingLabel.text
    assert job.ui.previewCheckBox.enabled and panel.train.ui.startButton.enabled
    assert job.preview.node() is None and not job.ui.previewCheckBox.checked


def apply_model(pictures: Pictures, watch: Any, volume: Any) -> Any:
    """Section 3: a volume that the model has not seen; the segmentation."""
    session = pictures.session
    assert session.panel.parameters.model == str(watch.folder.path)
    segmentation = session.apply_to(volume)
    pictures("panel-apply", "apply")
    content = segmentation.GetSegmentation()
    segments = [content.GetNthSegment(index) for index in range(content.GetNumberOfSegments())]
    assert [segment.GetName() for segment in segments] == list(played.HIPPOCAMPUS)
    for segment, color in zip(segments, played.HIPPOCAMPUS.values(), strict=True):
        assert segment.GetColor() == pytest.approx(color, abs=1 / 255)
    return segmentation


def compare(pictures: Pictures, segmentation: Any, reference: Any, volume: Any) -> float:
    """Section 4: against what was drawn by hand; the mean Dice, which the table gives too."""
    reference.SetName(f"{FOURTH} by hand")
    rows = pictures.session.evaluate(segmentation, reference, volume)
    pictures("panel-evaluate", "evaluate")
    by_hand = {name: played.dice(segmentation, reference, name, volume) for name in played.HIPPOCAMPUS}
    for name, numbers in rows:
        if name in by_hand:
            assert numbers[0] == pytest.approx(by_hand[name], abs=1e-3)
    return float(np.mean(list(by_hand.values())))


def come_back(widget: Any, wait_for: Any) -> None:
    """The scene is closed and the panel made anew, as after a restart: the job is there, goes on, and is removed."""
    panel = widget.panel
    name = panel.train.job.watched.name
    slicer.mrmlScene.Clear()
    assert panel.rows() == [] and panel.data.ui.pairsTable.rowCount == 0
    widget.cleanup()
    widget.onReload()
    panel = slicer.modules.MedSegTrainerWidget.panel
    assert panel is not widget.panel
    session = played.Session(panel, wait_for)
    assert panel.environment.ready and panel.ui.environmentButton.collapsed
    session.open("train")
    job = panel.train.job
    assert job.watched is not None and job.watched.name == name
    job.ui.jobsButton.collapsed = False
    assert name in " ".join(played.visible_rows(job.ui.jobsTable, 0))
    job.ui.jobsTable.selectRow(0)
    assert job.ui.watchButton.enabled
    job.ui.watchButton.click()
    wait_for(lambda: job.watched.caught_up)
    points = len(job.watched.epochs)
    assert job.charts.nodes["losses"].GetNumberOfRows() == points > 0
    if job.ui.jobResumeButton.enabled:
        job.ui.jobResumeButton.click()
        wait_for(lambda: len(job.watched.epochs) > points, 2 * played.MINUTE)
        assert not job.ui.removeButton.enabled and "running" in job.ui.removeButton.toolTip
        job.ui.stopNowButton.click()
        wait_for(lambda: not job.watched.working, 2 * played.MINUTE)
        assert job.watched.state == "stopped", job.ui.endingLabel.text
    folder = job.watched.folder.path
    panel.refresh()
    job.ui.removeButton.click()
    assert not folder.exists() and job.watched is None and name in job.ui.undoLabel.text
    job.ui.undoButton.click()
    assert folder.exists() and not job.ui.undoFrame.visible


def write_timings(timings: Any, tmp_path: Path, name: str) -> None:
    folder = Path(os.environ.get("MEDSEG_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(timings.describe(), encoding="utf-8")
    print(timings.describe())


@pytest.mark.usefixtures("slice_views", "torch_python")
def test_session(
    module_widget: Any, wait_for: Any, make_segmentation: Any, screenshot: Any, dialogs: Any, tmp_path: Path
) -> None:
    """A network too small to be good, stopped after moments: every step works."""
    pictures = Pictures(played.Session(module_widget.panel, wait_for), module_widget, screenshot)
    timings, _, dice = play(pictures, make_segmentation, settings=played.SMALL, minutes=0.05)
    write_timings(timings, tmp_path, "timer-callbacks-quick")
    assert 0 <= dice <= 1
    come_back(module_widget, wait_for)


@pytest.mark.slow
@pytest.mark.usefixtures("slice_views", "torch_python")
def test_session_with_three_minutes_of_training(
    module_widget: Any, wait_for: Any, make_segmentation: Any, screenshot: Any, dialogs: Any,
    render_slice_views: Any, tmp_path: Path,
) -> None:  # fmt: skip
    pictures = Pictures(played.Session(module_widget.panel, wait_for), module_widget, screenshot)
    timings, fourth, dice = play(pictures, make_segmentation, settings={}, minutes=3)
    write_timings(timings, tmp_path, "timer-callbacks")
    print(f"mean Dice of {FOURTH}: {dice:.3f}")
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        drawn_on = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        node.GetDisplayNode().SetVisibility(drawn_on is fourth and "hand" not in node.GetName())
    render_slice_views("slices-prediction", fourth)
    assert dice >= 0.70
    come_back(module_widget, wait_for)


@pytest.mark.usefixtures("torch_python")
def test_data_are_checked_and_taken_from_a_folder(
    home: Path, request: Any, wait_for: Any, make_segmentation: Any, tmp_path: Path
) -> None:
    """The jobs behind *Check data* and *From folder...*, and a training on what was found in the folder."""
    played.leave_tested(home)
    panel = request.getfixturevalue("panel")
    data, session = panel.data, played.Session(panel, wait_for)
    for name in TRAINING:
        volume = played.load_hippocampus(DATA, name)
        played.load_hippocampus_label(DATA, name, volume, make_segmentation)
    data.ui.addAllButton.click()
    data.ui.checkButton.click()
    assert data.ui.checkButton.text == "Stop &check", data.ui.messageLabel.text
    wait_for(lambda: data.ui.checkButton.text == "&Check data", 10 * played.MINUTE)
    assert "full report" in data.ui.reportLabel.text, data.ui.messageLabel.text
    cells = [data.ui.pairsTable.item(row, 4).text() for row in range(3)]
    assert all(cells) and data.problem() == "", cells
    slicer.mrmlScene.Clear()

    folder = tmp_path / "from elsewhere"
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
        for name in TRAINING:
            shutil.copy(DATA / kind / f"{name}.nii.gz", folder / kind)
    data.addFolder(str(folder))
    wait_for(lambda: data.rows, 10 * played.MINUTE)
    assert [(row.name, row.use) for row in panel.rows()] == [(name, True) for name in TRAINING]
    assert len(panel.classes()) == 2 and data.problem() == ""
    panel.parameters.configuration = json.dumps(played.SMALL)
    watch = session.start_training()
    wait_for(lambda: watch.validations, 10 * played.MINUTE)
    panel.train.job.ui.stopNowButton.click()
    wait_for(lambda: not watch.working, played.MINUTE)
    assert watch.state == "stopped"


@pytest.mark.usefixtures("torch_python")
def test_a_session_in_which_not_everything_is_drawn(
    home: Path, request: Any, wait_for: Any, make_segmentation: Any, screenshot: Any
) -> None:
    """One case is drawn, in the second a segment is missing, in the third two slices are drawn: trained, again from
    that model, and applied."""
    played.leave_tested(home)
    widget = request.getfixturevalue("module_widget")
    panel = widget.panel
    pictures = Pictures(played.Session(panel, wait_for), widget, screenshot)
    draw_a_part(pictures, make_segmentation)
    table = panel.data.ui.pairsTable
    assert played.visible_rows(table, 3) == [
        "Anterior, Posterior", "1 of 2: Anterior", "slices: Anterior, Posterior",
    ]  # fmt: skip
    assert "2 coronal ones" in table.item(2, 3).toolTip()
    assert panel.data.problem() == "" and set(played.visible_rows(table, 4)) == {"ok"}
    pictures("panel-drawn", "data")
    panel.parameters.configuration = json.dumps(played.SMALL)
    watch = pictures.session.start_training()
    check_what_was_written(watch.folder.path / "data")
    wait_for(lambda: watch.best is not None, 10 * played.MINUTE)
    stop_and_keep(pictures, watch)
    panel.parameters.model = str(start_from(pictures, watch).folder.path)
    segmentation = pictures.session.apply_to(played.load_hippocampus(DATA, FOURTH))
    assert f"Started from {watch.name} (" in panel.apply.ui.cardLabel.text
    content = segmentation.GetSegmentation()
    assert {content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())} == set(
        played.HIPPOCAMPUS
    )


def start_from(pictures: Pictures, watch: Any) -> Any:
    """Section 2: another training, from the model of the first; what watches it. Its first point is that model."""
    panel, wait_for = pictures.session.panel, pictures.session.wait_for
    pictures.session.open("train")
    panel.train.start.models.choose(str(watch.folder.path))
    assert panel.train.ui.startLabel.text == "Kept: Anterior, Posterior."
    pictures("panel-start-again", "train")
    again = pictures.session.start_training()
    wait_for(lambda: not again.working or len(again.validations) > 1, 10 * played.MINUTE)
    job = panel.train.job
    assert again.validations and again.validations[0]["epoch"] == 0, job.ui.endingLabel.text
    before = again.validations[0]["mean_dice"]
    assert job.ui.startedLabel.text.startswith(f"started from {watch.name}: {before:.2f} -> ")
    assert job.charts.nodes["validations"].GetTable().GetColumnByName("epoch").GetValue(0) == 0
    stop_and_keep(pictures, again)
    return again


def draw_a_part(pictures: Pictures, make_segmentation: Any) -> None:
    """The three cases as a user leaves them who has no time, added, and said to be so."""
    panel = pictures.session.panel
    volumes = [played.load_hippocampus(DATA, name) for name in TRAINING]
    nodes = [
        played.load_hippocampus_label(DATA, name, volume, make_segmentation)
        for name, volume in zip(TRAINING, volumes, strict=True)
    ]
    content = nodes[1].GetSegmentation()
    content.RemoveSegment(content.GetSegmentIdBySegmentName("Posterior"))
    played.keep_slices(nodes[2], volumes[2], TWO_SLICES)
    panel.data.ui.addAllButton.click()
    slices = "Drawn in the slices that have something in them"
    played.choose_drawn(panel, 2, slices, "Direction found from what is drawn")


def check_what_was_written(folder: Path) -> None:
    """What the library trains on."""
    document = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    assert document["ignore_label"] == -1
    assert [case.get("drawn") for case in document["cases"]] == [None, ["Anterior"], None]
    labels = [slicer.util.loadVolume(str(folder / case["label"]), {"labelmap": True}) for case in document["cases"]]
    first, second, third = (slicer.util.arrayFromVolume(node).copy() for node in labels)
    for node in labels:
        slicer.mrmlScene.RemoveNode(node)
    assert set(np.unique(first)) == {0, 1, 2} and set(np.unique(second)) == {0, 1}
    known = [plane for plane in range(third.shape[1]) if (third[:, plane] >= 0).all()]
    assert known == TWO_SLICES and set(np.unique(third[:, TWO_SLICES])) == {0, 1, 2}
    assert (np.delete(third, TWO_SLICES, axis=1) == -1).all()


@pytest.mark.parametrize("epochs", [1000, pytest.param(6667, marks=pytest.mark.slow)])
def test_a_long_training_in_the_panel(
    home: Path, request: Any, wait_for: Any, make_job: Any, tmp_path: Path, epochs: int
) -> None:
    """3 000 events, or 20 000, are read in small pieces, and what comes meanwhile is shown; how long each takes is
    noted."""
    from MedSegTrainerLib.events import Epoch, EventLog, Progress, Stage, Validated

    def epoch(number: int) -> Iterator[Any]:
        yield Progress(done=number, total=8000, eta_seconds=60.0)
        yield Epoch(
            epoch=number, epochs=8000, step=number, train_loss=1 / number, learning_rate=1e-3, gradient_norm=1.0,
            seconds=1.0,
        )  # fmt: skip
        yield Validated(
            epoch=number, minutes=number / 60, mean_dice=1 - 1 / number, dice={"liver": 1 - 1 / number, "tumor": 0.5},
            metrics={"val_loss": 1 / number},
        )  # fmt: skip

    begin = Stage(name="train", message="Training", total=8000)
    events = [begin, *(event for number in range(1, epochs + 1) for event in epoch(number))]
    folder = make_job(events=events, state="running")
    status = json.loads(folder.status_file.read_text())

    def beat() -> None:
        """As the process of the job does: on a busy computer all this takes longer than a dead one is waited for."""
        folder.status_file.write_text(json.dumps({**status, "heartbeat": time.time()}))

    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"
    panel = request.getfixturevalue("panel")
    session = played.Session(panel, wait_for)
    session.open("data", "train", "apply", "evaluate", "environment")
    for button in ("jobsButton", "logButton"):
        getattr(panel.train.job.ui, button).collapsed = False
    timings = played.Timings(panel)
    panel.train.job.follow(folder)  # as *Watch* does
    watch, log = panel.train.job.watched, EventLog(folder.events_file)
    wait_for(lambda: beat() or watch.caught_up, 5 * played.MINUTE)
    assert len(watch.epochs) == len(watch.validations) == epochs
    for number in range(epochs + 1, epochs + 10):
        beat()
        for event in epoch(number):
            log(event)
        wait_for(lambda number=number: len(watch.epochs) == number)
    assert panel.train.job.charts.nodes["losses"].GetNumberOfRows() > 100
    assert f"epoch {epochs + 9}" in panel.train.job.ui.progressLabel.text
    write_timings(timings, tmp_path, f"timer-callbacks-{3 * epochs}-events")
