"""What a running training consists of: its parts, its state, and where it stands in time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.events import Emit
from MedSegTrainerLib.hardware.distributed import ALONE, Bystander, Ranks
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerLib.training.checkpoint import CheckpointWriter, TrainingState
from MedSegTrainerLib.training.dashboard import Dashboard
from MedSegTrainerLib.training.early_stopping import Monitor, stopping_patience
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.validation import HeldOut


@dataclass(kw_only=True)
class Training:
    """What a training works with. ``deadline`` is a ``time.time()`` to be done by, None without a budget.

    ranks: the processes that train together; the first one alone writes to the folder.
    newest: train_loss, learning_rate and gradient_norm of the last epoch. data: what the images that it trains on are
    like, of ``data_profile.describe``.
    """

    plan: Plan
    config: TrainConfig
    folder: JobFolder
    owner: JobOwner | Bystander
    emit: Emit
    device: torch.device
    train_cases: Sequence[StoredCase]
    held_out: HeldOut
    learner: Learner
    state: TrainingState
    monitor: Monitor
    dashboard: Dashboard
    deadline: float | None
    ranks: Ranks = ALONE
    data: dict[str, Any] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    writer: CheckpointWriter = field(default_factory=CheckpointWriter)
    started: float = field(default_factory=time.time)
    first_step: int = 0
    next_look: int = 0  # at this step, to see whether somebody wants it to stop
    last_save: float = field(default_factory=time.time)
    validation_seconds: float = 0.0

    @property
    def epochs(self) -> int:
        return -(-self.state.total_steps // self.plan.steps_per_epoch)

    @property
    def batches_per_step(self) -> int:
        return self.config.trainer.gradient_accumulation_steps * self.plan.batch_parts

    @property
    def is_stale(self) -> bool:
        """Whether early stopping ends it: the monitored metric has not improved for too long. One that was never
        known, as without held-out cases, ends nothing."""
        trainer, state = self.config.trainer, self.state
        waited = state.epoch - state.improved_epoch >= stopping_patience(trainer)
        return trainer.early_stopping and state.improved is not None and waited

    @property
    def is_over(self) -> bool:
        return self.state.step >= self.state.total_steps or self.is_stale

    @property
    def seconds_left(self) -> float:
        if self.deadline is not None:
            return max(0.0, round(self.deadline - time.time(), 1))
        return round((self.state.total_steps - self.state.step) * self.step_seconds, 1)

    @property
    def step_seconds(self) -> float:
        """Mean seconds of a step since this process began, its share of the validations included."""
        return (time.time() - self.started) / max(1, self.state.step - self.first_step)
