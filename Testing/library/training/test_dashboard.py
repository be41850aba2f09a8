"""What a training shows while it runs: that the files are there, new, and cost little."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.events import Epoch, EventLog, Validated
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.training.dashboard import LARGEST_SHARE, Dashboard, Pace
from MedSegTrainerLib.training.previews import Preview

EPOCH = Epoch(epoch=1, epochs=9, step=10, train_loss=0.75, learning_rate=0.01, gradient_norm=2.5, seconds=1.0)
VALIDATED = Validated(
    epoch=1, minutes=0.5, mean_dice=0.4, dice={"kidney": 0.5, "cyst": 0.3}, metrics={"val_loss": 0.9, "val_dice": 0.4}
)


@pytest.fixture
def preview(oblique_geometry: Geometry) -> Preview:
    labels = np.zeros(oblique_geometry.size_zyx, dtype=np.int16)
    labels[2:6, 3:9, 4:13] = 1
    return Preview(
        name="a", image=labels.astype(np.float32), reference=labels, prediction=labels, geometry=oblique_geometry
    )


def dashboard(job: Path, plan: Plan, tensorboard: bool = True) -> Dashboard:
    return Dashboard(JobFolder(job), plan, tensorboard=tensorboard)


def work(board: Dashboard, preview: Preview, epochs: int) -> None:
    log = EventLog(board.folder.events_file)
    for epoch in range(1, epochs + 1):
        for event in (replace(EPOCH, epoch=epoch), replace(VALIDATED, epoch=epoch)):
            log(event)
            if isinstance(event, Epoch):
                board.epoch(event)
            else:
                board.validated(event, preview, nn.Linear(2, 2))
        board.refresh()


class TestDashboard:
    def test_everything_is_there_from_the_first_validation_on(
        self, tmp_path: Path, tiny_plan: Plan, preview: Preview
    ) -> None:
        work(dashboard(tmp_path, tiny_plan), preview, epochs=1)
        reader = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
        assert {"loss/train", "loss/validation", "dice/mean"} <= set(reader.Tags()["scalars"])
        assert reader.Tags()["images"] == ["prediction/a"]
        assert imread(tmp_path / "curves.png").shape[:2] == (800, 1100)
        picture = imread(tmp_path / "previews" / "latest.png")
        image = reader.Images("prediction/a")[0]
        assert picture.shape[:2] == (image.height, image.width)
        assert (tmp_path / "previews" / "latest.seg.nrrd").exists()

    def test_the_last_prediction_is_there_at_the_end(self, tmp_path: Path, tiny_plan: Plan, preview: Preview) -> None:
        board = dashboard(tmp_path, tiny_plan)
        work(board, preview, epochs=4)
        before = (tmp_path / "curves.png").read_bytes()
        board.close()
        assert json.loads((tmp_path / "previews" / "latest.json").read_text())["epoch"] == 4
        assert (tmp_path / "curves.png").read_bytes() != before
        reader = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
        assert [event.step for event in reader.Scalars("loss/validation")] == [1, 2, 3, 4]
        assert reader.Images("prediction/a")[-1].step == 4

    def test_a_prediction_that_was_lost_is_not_shown(self, tmp_path: Path, tiny_plan: Plan, preview: Preview) -> None:
        board = dashboard(tmp_path, tiny_plan, tensorboard=False)
        board.validated(replace(VALIDATED, epoch=3), preview, nn.Linear(2, 2))
        board.back_to(2)
        board.close()
        assert not (tmp_path / "previews").exists()
        board.validated(replace(VALIDATED, epoch=3), preview, nn.Linear(2, 2))
        board.back_to(3)
        board.close()
        assert (tmp_path / "previews" / "latest.png").exists()

    def test_without_held_out_cases_there_are_curves(self, tmp_path: Path, tiny_plan: Plan) -> None:
        board = dashboard(tmp_path, tiny_plan)
        EventLog(board.folder.events_file)(EPOCH)
        board.epoch(EPOCH)
        board.refresh()
        assert (tmp_path / "curves.png").exists()
        assert not (tmp_path / "previews").exists()
        assert EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss/train")[0].value == 0.75

    def test_without_tensorboard(self, tmp_path: Path, tiny_plan: Plan, preview: Preview) -> None:
        board = dashboard(tmp_path, tiny_plan, tensorboard=False)
        work(board, preview, epochs=1)
        board.back_to(0)
        board.close()
        assert not (tmp_path / "tensorboard").exists()
        assert (tmp_path / "previews" / "latest.png").exists()


class TestPace:
    def pace(self, seconds: float) -> tuple[Pace, list[float]]:
        now = [1000.0]
        return Pace(seconds, clock=lambda: now[0]), now

    def run(self, pace: Pace, now: list[float], seconds: float) -> None:
        with pace.timed():
            now[0] += seconds

    def test_the_first_time_is_at_once(self) -> None:
        assert self.pace(30)[0].is_due()

    def test_not_before_its_time(self) -> None:
        pace, now = self.pace(30)
        self.run(pace, now, 0.1)
        now[0] += 29.9
        assert not pace.is_due()
        now[0] += 0.2
        assert pace.is_due()

    def test_what_takes_long_is_done_seldom(self) -> None:
        pace, now = self.pace(0)
        self.run(pace, now, 5.0)
        now[0] += 5.0 / LARGEST_SHARE - 1
        assert not pace.is_due()
        now[0] += 2
        assert pace.is_due()
