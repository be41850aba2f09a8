"""300 trainings, 45 cases, 60 segments: a call of the timer or of a button does a small part of the work only.

Counted are files that are opened and rows that are made: how long that takes depends on the computer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from fake_panel import training
from MedSegTrainerUI.data.row_scan import SEGMENTS_AT_ONCE, VOXELS_OF_A_SEGMENT
from MedSegTrainerUI.data.tables import FINDINGS
from MedSegTrainerUI.jobs.job_table import READ_AT_ONCE
from MedSegTrainerUI.scene.segment_layers import content_of, count_layer, segment_ids, stored_layers
from MedSegTrainerUI.train.charts import SERIES_AT_ONCE

JOBS, CASES, SEGMENTS = 300, 45, 60
FILES_OF_A_JOB = 4  # status, document, plan and once more its status
opened: list[str] = []  # by whatever runs in this process, while a test counts
counting = False


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if counting and event == "open":
        opened.append(str(arguments[0]))


sys.addaudithook(_on_audit)


@pytest.fixture(autouse=True)
def home(scene: Any, tmp_path: Any) -> None:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))


@pytest.fixture
def work(panel: Any) -> Callable[..., tuple[int, int]]:
    """Files of jobs that are opened, and rows of the list that are made anew, by a call."""
    table, root = panel.train.job.ui.jobsTable, str(panel.jobs.root)

    def rows() -> list[Any]:
        return [table.item(row, 0) for row in range(table.rowCount)]

    def count(act: Callable[[], Any]) -> tuple[int, int]:
        global counting
        before = rows()
        opened.clear()
        counting = True
        act()
        counting = False
        known = {id(item) for item in before}
        return sum(path.startswith(root) for path in opened), sum(id(item) not in known for item in rows())

    return count


@pytest.fixture
def trainings(panel: Any, make_job: Any) -> Any:
    """300 in the folder, the list folded."""
    for number in range(JOBS):
        folder = make_job(f"job-{number:03d}", state="finished", best=0.7)
        os.utime(folder.job_file, (time.time() - 1000 - number,) * 2)
    return panel.train.job.trainings


def test_three_hundred_trainings_are_read_a_few_at_a_time_and_only_once(panel, trainings, work, make_job):
    table = panel.train.job.ui.jobsTable
    assert work(panel.onTimer) == (0, 0), "folded: nothing is read"
    files, rows = work(lambda: setattr(panel.train.job.ui.jobsButton, "collapsed", False))
    assert rows == READ_AT_ONCE and files <= FILES_OF_A_JOB * READ_AT_ONCE
    assert panel.train.job.ui.jobsButton.text == f"Trainings ({READ_AT_ONCE}+)"
    for _ in range(JOBS // READ_AT_ONCE):
        files, rows = work(panel.onTimer)
        assert rows <= READ_AT_ONCE and files <= FILES_OF_A_JOB * READ_AT_ONCE
    assert table.rowCount == JOBS and panel.train.job.ui.jobsButton.text == f"Trainings ({JOBS})"
    assert [table.item(row, 0).text() for row in (0, JOBS - 1)] == ["job-000", "job-299"]
    trainings.look_again()
    files, rows = work(panel.onTimer)
    assert rows == 0 and files <= 1, "the status of the chosen one"
    make_job("newest", state="failed")
    trainings.look_again()
    files, rows = work(panel.onTimer)
    assert (rows, table.item(0, 0).text()) == (1, "newest") and files <= FILES_OF_A_JOB + 1


def test_removing_and_bringing_back_makes_one_row(panel, trainings, work):
    panel.train.job.ui.jobsButton.collapsed = False
    while not trainings.table.complete:
        panel.onTimer()
    panel.train.job.ui.jobsTable.setCurrentCell(7, 0)
    files, rows = work(panel.train.job.ui.removeButton.click)
    assert rows == 1 and files <= 3 * FILES_OF_A_JOB, "that of the trash"
    files, rows = work(panel.train.job.ui.undoButton.click)
    assert rows == 1 and files <= 3 * FILES_OF_A_JOB


def test_many_cases_and_segments_are_shown_without_reading_or_making_rows_again(
    panel, work, wait_for, make_volume, make_segmentation, make_job
):
    shape = (4, 8, 20)
    for number in range(CASES):
        many = SEGMENTS if number == 0 else 1
        labels = np.arange(np.prod(shape)).reshape(shape) // 10
        volume = make_volume(f"CT_{number:02d}", np.arange(640, dtype=np.int16).reshape(shape) + number)
        make_segmentation(f"CT_{number:02d}-seg", volume, {f"part {one}": labels == one for one in range(many)})
    panel.data.ui.addAllButton.click()
    wait_for(lambda: panel.data.ready)  # its segments are looked at in pieces
    panel.apply.shown.add(panel.rows()[0].segmentation)
    panel.refresh()
    tables = (panel.data.ui.pairsTable, panel.data.ui.classesTable, panel.apply.ui.shownTable)
    assert [table.rowCount for table in tables] == [CASES, SEGMENTS, SEGMENTS]

    def items() -> list[Any]:
        return [table.item(row, 1) for table in tables for row in range(table.rowCount)]

    before = items()
    for act in (panel.onTimer, panel.refresh):
        files, _rows = work(act)
        assert files == 0 and all(one is other for one, other in zip(before, items(), strict=True))


def calls(act: Callable[[], Any]) -> Counter[tuple[str, str]]:
    """How often each function was called: by the folder and name of its file, and its own."""
    counted: Counter[tuple[str, str]] = Counter()

    def count(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            path = Path(frame.f_code.co_filename)
            counted[f"{path.parent.name}/{path.stem}", frame.f_code.co_name] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(before)
    return counted


@pytest.fixture
def many(panel: Any, make_volume: Any, make_segmentation: Any) -> Any:
    """The data section, where the scene has 45 volumes of 60 segments each; none is in the table yet."""
    shape = (4, 8, 20)
    labels = np.arange(np.prod(shape)).reshape(shape) // 10
    masks = {f"part {one}": labels == one for one in range(SEGMENTS)}
    drawn = None
    for number in range(CASES):
        volume = make_volume(f"CT_{number:02d}", np.arange(640, dtype=np.int16).reshape(shape) + number)
        node = make_segmentation(f"CT_{number:02d}-seg", volume, masks if drawn is None else {})
        drawn = drawn or node
        if node is not drawn:
            node.GetSegmentation().DeepCopy(drawn.GetSegmentation())
    return panel.data


def look_at_all(data: Any, act: Callable[[], Any]) -> list[Counter[tuple[str, str]]]:
    """What is called by what the user does, and then by each call of the timer until all was looked at."""
    counted = [calls(act)]
    while data._more.active:
        counted.append(calls(data.onMore))
    return counted


def test_the_segments_of_many_volumes_are_looked_at_in_pieces(many):
    seen: list[str] = []

    def click() -> None:
        many.ui.addAllButton.click()
        seen.extend((many.ui.statusLabel.text, many.ui.pairsTable.item(CASES - 1, FINDINGS).text()))

    counted = look_at_all(many, click)
    assert seen == [f"{CASES} volumes, 0 classes, being looked at", "..."]
    rows = [one["scene/segment_classes", "segments_of_row"] + one["scene/case_checks", "check_row"] for one in counted]
    assert sum(rows) == 2 * CASES and max(rows) <= SEGMENTS_AT_ONCE // SEGMENTS + 1
    assert many.ready and many.problem() == ""
    assert many.ui.statusLabel.text == f"{CASES} volumes, {SEGMENTS} classes, ready"
    assert {many.ui.pairsTable.item(row, FINDINGS).text() for row in range(CASES)} == {"ok"}


def test_slices_are_looked_for_once_and_again_only_where_something_was_drawn(many):
    many.ui.addAllButton.click()
    many.problem()
    looked_at = ("scene/labelled_region", "_look"), ("scene/export_labels", "drawn_part")

    def looks(act: Callable[[], Any]) -> list[int]:
        counted = sum(look_at_all(many, act), Counter())
        return [counted[one] for one in looked_at]

    def say(axis: str) -> list[int]:
        return looks(lambda: many.write([replace(row, region="slices", axis=axis) for row in many.rows]))

    assert say("z") == [CASES, CASES]
    assert looks(lambda: many.ui.pairsTable.item(3, 0).setCheckState(qt.Qt.Unchecked)) == [0, 0], "what is known stays"
    assert looks(many.panel.refresh) == [0, 0]
    node = many.rows[5].segmentation
    node.GetSegmentation().SeparateSegmentLabelmap(node.GetSegmentation().GetNthSegmentID(0))
    many.look_again()
    assert looks(many.panel.refresh) == [1, 1], "of the one that was changed"


def test_who_asks_whether_there_is_a_problem_gets_the_whole_answer(many):
    last = slicer.util.getNode(f"CT_{CASES - 1:02d}-seg")
    last.GetSegmentation().RemoveAllSegments()
    many.ui.addAllButton.click()
    assert not many.ready and many.ui.problemLabel.text == ""
    assert many.problem() == f"CT_{CASES - 1}: {many.findings[0].message} {many.findings[0].remedy}"
    assert many.ui.problemLabel.text == many.problem() and not many.ready and not many._more.active


@pytest.mark.parametrize("table", ["pairsTable", "classesTable"])
def test_a_check_mark_makes_only_the_cells_that_change_and_shows_the_sections_once_at_each_end(many, table):
    look_at_all(many, many.ui.addAllButton.click)
    mark = getattr(many.ui, table).item(3, 0)
    counted = look_at_all(many, lambda: mark.setCheckState(qt.Qt.Unchecked))
    cells = [one["shared/tables", "_item"] for one in counted]
    assert cells[0] <= 5 and sum(cells) <= 5 + 4 * SEGMENTS, "of the row, and of the classes"
    shown = [one["apply/section", "refresh"] for one in counted]
    assert shown == [1, *(0 for _piece in counted[2:]), 1]
    assert calls(many.panel.refresh)["data/tables", "pair_cells"] == 0, "nothing has changed"


def test_a_layer_is_counted_some_planes_at_a_time_and_not_at_all_when_it_is_changed_meanwhile(
    make_volume, make_segmentation
):
    array = np.zeros((40, 200, 300), np.int16)
    volume = make_volume("CT", array)
    node = make_segmentation("CT-seg", volume, {"all": array == 0})
    (layer,) = stored_layers(node, segment_ids(node))
    steps = count_layer(layer.image)
    next(steps)
    layer.image.Modified()
    assert list(steps) == []
    steps = list(count_layer(layer.image))
    assert sum(steps) == array.size and max(steps) <= 10 * VOXELS_OF_A_SEGMENT < array.size
    assert list(count_layer(layer.image)) == [] and content_of(layer.image).counts.tolist()[1:] == [array.size]


def test_a_choice_is_shown_once(panel, make_volume, make_segmentation):
    array = np.zeros((4, 5, 6), np.int16)
    volume = make_volume("CT", array)
    node = make_segmentation("CT-seg", volume, {"liver": array == 0})
    choose = panel.evaluate.ui.predictionSelector.setCurrentNode
    assert calls(lambda: choose(node))["evaluate/section", "refresh"] == 1
    assert panel.evaluate.ui.volumeSelector.currentNode() is volume, "chosen with it"


def test_the_list_of_models_is_not_read_at_every_change(panel, trainings):
    panel.refresh()
    assert calls(panel.refresh)["models/model_list", "entries"] == 0


@pytest.fixture
def many_classes(make_job: Any) -> Any:
    """A training of 60 classes."""
    folder = make_job("many", training(4), state="finished", best=0.7)
    file = folder.path / "data" / "cases.json"
    document = json.loads(file.read_text())
    names = [f"part {number}" for number in range(SEGMENTS)]
    document["classes"] = [{"value": n, "name": name, "color": [n, 9, 9]} for n, name in enumerate(names, start=1)]
    file.write_text(json.dumps(document))
    return folder


def test_the_curves_of_many_classes_come_and_go_a_few_at_a_time(panel, many_classes, make_job):
    job = panel.train.job

    def series() -> int:
        return len(slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode"))

    def follow(folder: Any) -> list[int]:
        counts = [series()]
        job.follow(folder)
        counts.append(series())
        while not job.charts.complete:
            panel.onTimer()
            counts.append(series())
        return counts

    counts = follow(many_classes)
    steps = np.diff(counts)
    assert counts[-1] == SEGMENTS + 3 and steps.max() <= SERIES_AT_ONCE + 2, "and the two of the loss"
    assert job.charts.nodes["dice"].GetNumberOfPlotSeriesNodes() == SEGMENTS + 1
    counts = follow(make_job("few", training(4), state="finished"))
    assert counts[-1] == 5 and np.diff(counts).min() >= -SERIES_AT_ONCE
    assert job.charts.nodes["dice"].GetNumberOfPlotSeriesNodes() == 3
