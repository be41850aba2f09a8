"""The loop, played twice around over real jobs on small phantoms: apply, correct two slices, add, continue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import played_session as played
import pytest
import qt
import slicer

SHAPE = (24, 32, 32)
LONGEST_SECONDS = 0.05  # of the processor, for the callbacks of one tick of the timer
PATIENCE = 20 * played.MINUTE  # for each job, of which the longest takes one on two free cores
NOBODY = -1  # in label maps, where nobody has labelled


@pytest.fixture(autouse=True)
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Path:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    played.leave_tested(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def make_phantom(make_volume: Callable[..., Any]) -> Callable[..., Any]:
    """A volume with a bright organ in it, and where that is."""

    def make(number: int) -> tuple[Any, np.ndarray]:
        generator = np.random.default_rng(number)
        z, y, x = np.indices(SHAPE)
        organ = (z - 12) ** 2 + (y - 13 - number) ** 2 + (x - 16) ** 2 < 8**2
        values = generator.normal(0, 20, SHAPE) + 300 * organ
        return make_volume(f"phantom_{number}", values.astype(np.int16)), organ

    return make


class Loop:
    """A user who goes around."""

    def __init__(self, panel: Any, wait_for: Callable[..., None]) -> None:
        self.panel, self.wait_for = panel, wait_for
        self.session = played.Session(panel, wait_for)

    def finish(self, watch: Any, points: int) -> Any:
        """Lets a training go on until its curve has so many points, and keeps its best model."""
        job = self.panel.train.job
        self.wait_for(lambda: not watch.working or len(watch.validations) >= points, PATIENCE)
        job.ui.stopKeepButton.click()
        self.wait_for(lambda: not watch.working and watch.outcome is not None, PATIENCE)  # all of its events are read
        assert watch.folder.model.exists(), job.ui.endingLabel.text
        return watch

    def correct(self, result: Any, volume: Any, truth: np.ndarray, planes: tuple[int, ...]) -> None:
        """Draws the organ anew in these axial slices, as it really is but for a corner that the model cannot have: one
        that is larger than the slices are far apart, so that their direction is clear."""
        segment = result.GetSegmentation().GetSegmentIdBySegmentName("organ")
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, segment, volume).copy()
        for plane in planes:
            mask[plane] = truth[plane]
            mask[plane, :5, :7] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, result, segment, volume)

    def add(self) -> None:
        self.panel.apply.ui.addResultButton.click()
        self.wait_for(lambda: self.panel.apply.adding._row is None)

    def draw_what_is_suggested(self) -> Any:
        """Section 1, Next to label, for the cases of which two slices are drawn: a suggestion is clicked, and its slice
        corrected in the segmentation that the Segment Editor is opened on."""
        data, opened = self.panel.data, []
        data.next.edit = lambda *nodes: opened.append(nodes)
        data.ui.nextButton.collapsed = False
        self.panel.refresh()
        assert data.next.ui.suggestButton.enabled, data.next.ui.suggestLabel.text
        data.next.ui.suggestButton.click()
        self.wait_for(lambda: not data.next.working, PATIENCE)
        assert data.next.suggestions, data.next.ui.suggestMessageLabel.text
        data.next.ui.suggestionsTable.cellClicked(0, 0)
        ((segmentation, volume),) = opened
        suggestion = data.next.suggestions[0]
        assert suggestion.axis == "z", "the direction in which these cases are drawn"
        self.correct(segmentation, volume, np.zeros(SHAPE, bool), (suggestion.slice,))
        data.look_again()
        return segmentation

    def go_on(self) -> Any:
        """Presses Continue, whichever of the two buttons is called so; what watches the training."""
        ui = self.panel.train.ui
        (button,) = [one for one in (ui.startButton, ui.continueButton) if one.visible and one.text == "Co&ntinue"]
        assert button.enabled, button.toolTip
        button.click()
        watch = self.panel.train.job.watched
        assert watch is not None and watch.working, ui.messageLabel.text
        return watch


def started_from(watch: Any) -> str:
    return Path(watch.document["config"]["start"]["model"]).name


def stored_planes(watch: Any, name: str) -> tuple[list[int], set[int]]:
    """The planes of a case's label map in which somebody labelled, and the values of the whole."""
    from MedSegTrainerUI.scene.label_files import read_layers

    (case,) = [one for one in json.loads((watch.folder.path / "data" / "cases.json").read_text())["cases"]
               if one["name"] == name]  # fmt: skip
    labels = read_layers(watch.folder.path / "data" / case["label"])[0].array
    known = [plane for plane in range(SHAPE[0]) if (labels[plane] != NOBODY).all()]
    assert all((labels[plane] == NOBODY).all() for plane in range(SHAPE[0]) if plane not in known)
    return known, set(np.unique(labels).tolist())


def save_and_load(panel: Any, path: Path) -> None:
    """The scene as a user saves it, closes it and opens it again."""
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear()
    assert panel.rows() == []
    slicer.util.loadScene(str(path))


@pytest.mark.slow  # three trainings, two minutes of a quiet machine
@pytest.mark.usefixtures("slice_views", "torch_python")
def test_it_goes_around_and_around(
    request: Any, wait_for: Any, make_phantom: Any, make_segmentation: Any, tmp_path: Path, screenshot: Any
) -> None:
    widget = request.getfixturevalue("module_widget")
    panel = widget.panel
    loop = Loop(panel, wait_for)
    for number in range(3):
        volume, organ = make_phantom(number)
        make_segmentation(f"phantom_{number}-seg", volume, {"organ": organ})
    panel.data.ui.addAllButton.click()
    loop.session.set_advanced(played.SMALL)
    timings = played.Timings(panel)
    first = loop.finish(loop.session.start_training(), 3)

    volume, organ = make_phantom(3)  # once around
    result = loop.session.apply_to(volume)
    loop.add()
    assert len(panel.rows()) == 3 and "Nobody has corrected" in panel.apply.ui.messageLabel.text
    loop.correct(result, volume, organ, (9, 13))
    loop.add()
    table = panel.data.ui.pairsTable
    assert played.visible_rows(table, 3)[3] == "2 corrected slices" and panel.data.problem() == ""
    loop.session.open("apply")
    screenshot(widget.parent, "loop-add-result")

    save_and_load(panel, tmp_path / "in the middle.mrb")
    panel.data.problem()
    assert played.visible_rows(table, 3)[3] == "2 corrected slices"
    assert panel.apply.shown.node() is panel.rows()[3].segmentation, "it is offered again"
    loop.session.open("train")
    screenshot(widget.parent, "loop-continue")
    second = loop.go_on()
    assert started_from(second) == first.name
    assert stored_planes(second, "phantom_3") == ([9, 13], {NOBODY, 0, 1})
    loop.finish(second, 3)
    loop.session.open("train")  # as it has ended, the next section has opened
    see_before_and_after(panel)
    screenshot(widget.parent, "loop-before-after")

    volume, organ = make_phantom(4)  # and once more
    assert panel.parameters.model == str(second.folder.path), "section 3 applies the newest of the line"
    result = loop.session.apply_to(volume)
    loop.correct(result, volume, organ, (10, 12))
    loop.add()
    assert [row.region for row in panel.rows()] == 3 * ["everywhere"] + 2 * ["corrected"]
    drawn_on = loop.draw_what_is_suggested()
    assert drawn_on in [row.segmentation for row in panel.rows()[3:]]
    assert panel.data.problem() == ""
    third = loop.go_on()
    assert started_from(third) == second.name
    drawn = {name: set(stored_planes(third, name)[0]) for name in ("phantom_3", "phantom_4")}
    assert drawn["phantom_3"] >= {9, 13} and drawn["phantom_4"] >= {10, 12} and sum(map(len, drawn.values())) == 5
    loop.finish(third, 3)
    loop.session.open("train")
    see_before_and_after(panel)
    assert prepared_anew(third) == len({drawn_on, panel.rows()[4].segmentation}), "what was drawn on since, and no more"
    go_back(panel, [third.name, second.name, first.name], widget, screenshot)
    with (tmp_path / "timings.txt").open("w") as stream:
        stream.write(timings.describe())
    assert max(timings.callbacks(1)) < LONGEST_SECONDS, timings.describe()


def see_before_and_after(panel: Any) -> None:
    label = panel.train.job.ui.comparedLabel
    assert label.visible and label.text.startswith("Dice on the same held-out cases: ") and ", was " in label.text


def prepared_anew(watch: Any) -> int:
    """Cases that a training did not find prepared."""
    events = [json.loads(line) for line in watch.folder.events_file.read_text().splitlines()]
    return sum(event["prepared"] for event in events if event["kind"] == "prepared" and event["stage"] == "prepare")


def go_back(panel: Any, versions: list[str], widget: Any, screenshot: Any) -> None:
    """The line is one entry; its second version becomes the one to apply and to go on from."""
    ui = panel.train.job.ui
    ui.jobsButton.collapsed = False
    panel.train.job.trainings.show()
    assert played.visible_rows(ui.jobsTable, 0) == [f"{versions[0]} (3 versions)"]
    assert [text.partition(": ")[2] for text in played.visible_rows(ui.versionsTable, 0)] == versions
    assert played.visible_rows(ui.versionsTable, 1) == ["4", "3", "2"]
    ui.versionsTable.setCurrentCell(1, 0)
    screenshot(widget.parent, "loop-versions")
    ui.backButton.click()
    assert Path(panel.parameters.model).name == versions[1]
    assert Path(panel.train.going_on.path()).name == versions[1]
