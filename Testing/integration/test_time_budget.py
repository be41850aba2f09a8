"""A whole training by a clock that its events move: the budget counts from its start, and a resume goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib.config.plan_parsing import read_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.events import Epoch, Progress, Stage
from MedSegTrainerLib.hardware.distributed import Bystander
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.train import run_train
from MedSegTrainerLib.training.checkpoint import load_checkpoint
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.time_budget import REPORT_SECONDS

SCAN_SECONDS, STEP_SECONDS, STEPS_AN_EPOCH = 10, 2, 8


@dataclass
class Clock:
    """Reading the data takes ten seconds by it and each step two, so that the training looks at it after each.

    stop: is called after the first epoch.
    """

    now: float
    stop: Callable[[], None] = lambda: None
    stages: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def emit(self, event: Any) -> None:
        if isinstance(event, Stage):
            self.stages.append(event.name)
            self.now += SCAN_SECONDS if event.name == "scan" else 0
        elif isinstance(event, Progress) and self.stages[-1] == "train":
            self.now += STEP_SECONDS
        elif isinstance(event, Epoch):
            self.stop()


def context(folder: JobFolder, clock: Clock, *, started: float) -> JobContext:
    return JobContext(folder=folder, owner=Bystander(), emit=clock.emit, started=started, clock=clock)


def steps_of(folder: JobFolder, config: TrainConfig) -> int:
    learner = Learner(read_plan(folder.plan_file), config, torch.device("cpu"))
    return load_checkpoint(folder.checkpoint_file, learner).step


def test_it_is_kept_from_the_start_and_across_a_resume(config_for: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = config_for("budget=60s", "epochs=auto", f"samples_per_volume={STEPS_AN_EPOCH // 2}", "base_channels=4")
    folder = JobFolder(tmp_path)
    first = Clock(5000, stop=lambda: folder.request_stop("keep-best"))
    run_train(config, context(folder, first, started=5000))
    assert read_plan(folder.plan_file).reasons["epochs"].startswith("50s left at")
    assert steps_of(folder, config) == STEPS_AN_EPOCH
    folder.stop_file.unlink()
    second = Clock(9000)
    run_train(config, context(folder, second, started=9000))
    left = 60 - SCAN_SECONDS - STEPS_AN_EPOCH * STEP_SECONDS
    assert (left - REPORT_SECONDS) // STEP_SECONDS == 13
    assert steps_of(folder, config) == STEPS_AN_EPOCH + 14  # what a step takes is known after the first one
