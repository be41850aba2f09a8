"""300 trainings, 45 cases, 60 segments: a call of the timer or of a button does a small part of the work only.

Counted are files that are opened and rows that are made: how long that takes depends on the computer.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import qt
from MedSegTrainerUI.job_table import READ_AT_ONCE

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
    panel, work, make_volume, make_segmentation, make_job
):
    shape = (4, 8, 20)
    for number in range(CASES):
        many = SEGMENTS if number == 0 else 1
        labels = np.arange(np.prod(shape)).reshape(shape) // 10
        volume = make_volume(f"CT_{number:02d}", np.arange(640, dtype=np.int16).reshape(shape) + number)
        make_segmentation(f"CT_{number:02d}-seg", volume, {f"part {one}": labels == one for one in range(many)})
    panel.data.ui.addAllButton.click()
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
