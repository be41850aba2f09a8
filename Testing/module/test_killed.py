"""Slicer is killed while a training runs: the training goes on, and the next Slicer shows it with all its curves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import played_session as played
import pytest
import qt

from MedSegTrainerLib.events import EventReader

pytestmark = pytest.mark.skipif(
    "slicer_standin" not in sys.modules, reason="the application cannot start, and kill, another one of its own"
)


@pytest.fixture
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Any:
    """The folder in which this Python was tested."""
    folder = tmp_path / "home"
    qt.QSettings().setValue("MedSegTrainer/Folder", str(folder))
    played.leave_tested(folder)
    yield folder


def test_a_killed_slicer_leaves_its_training(home: Path, request: Any, wait_for: Any) -> None:
    script = Path(__file__).with_name("dying_slicer.py")
    words = [sys.executable, str(script), str(home), sys.executable, json.dumps(played.SMALL)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as dying:
        name, seen = dying.stdout.readline().split()
        dying.kill()  # no cleaning up, no last word
    assert dying.returncode != 0
    panel = request.getfixturevalue("panel")  # of the next Slicer
    job = panel.train.job
    try:
        assert job.watched is not None and job.watched.name == name and job.watched.state == "running"
        wait_for(lambda: job.watched.caught_up)
        told = [event for event in EventReader(job.watched.folder.events_file).read() if event["kind"] == "epoch"]
        assert [one["epoch"] for one in job.watched.epochs[: int(seen)]] == list(range(1, int(seen) + 1))
        wait_for(lambda: len(job.watched.epochs) > len(told), played.MINUTE)  # it is alive: more of them come
        assert job.watched.epochs[: len(told)] == told
        assert job.charts.nodes["losses"].GetNumberOfRows() == len(job.watched.epochs)
        assert job.ui.stopNowButton.visible and not panel.train.ui.startButton.enabled
    finally:
        job.ui.stopNowButton.click()
        wait_for(lambda: not job.watched.working, played.MINUTE)
    assert job.watched.state == "stopped" and job.ui.resumeButton.visible
