"""What a running training consists of: its parts, its state, and where it stands in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.events import Emit
from MedSegTrainerLib.hardware.distributed import ALONE, Bystander, Ranks
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerLib.networks.varying_axes import varying_axes
from MedSegTrainerLib.training.checkpoint import CheckpointWriter, TrainingState
from MedSegTrainerLib.training.dashboard import Dashboard
from MedSegTrainerLib.training.early_stopping import Monitor, is_stale
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.time_budget import TimeBudget
from MedSegTrainerLib.training.validation import Validator


@dataclass(kw_only=True)
class TrainingSession:
    """What a training works with.

    ranks: the processes that train together; the first one alone writes to the folder.
    newest: train_loss, learning_rate and gradient_norm of the last epoch. data: what the images that it trains on are
    like, of ``data_profile.describe``. begin_as: weights of the model that it began as, None of one from nothing.
    has_new_channels: whether there are some that the model had not.
    history: what the model tells of the cases and of the models before it, of ``lineage``. came_as: how good the model
    that it began as is on the held-out cases, of ``before_after.figures``; {} where it began from nothing, or as long
    as nobody knows.
    """

    plan: Plan
    config: TrainConfig
    folder: JobFolder
    owner: JobOwner | Bystander
    emit: Emit
    device: torch.device
    train_cases: Sequence[StoredCase]
    validator: Validator
    learner: Learner
    state: TrainingState
    monitor: Monitor
    dashboard: Dashboard
    budget: TimeBudget
    ranks: Ranks = ALONE
    data: dict[str, Any] = field(default_factory=dict)
    begin_as: Mapping[str, torch.Tensor] | None = None
    has_new_channels: bool = False
    history: Mapping[str, Any] = field(default_factory=dict)
    came_as: dict[str, Any] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    writer: CheckpointWriter = field(default_factory=CheckpointWriter)
    next_look: int = 0  # at this step, to see whether somebody wants it to stop
    last_save: float = field(init=False)  # moment of the budget's clock

    def __post_init__(self) -> None:
        self.last_save = self.budget.clock()

    @property
    def epochs(self) -> int:
        return -(-self.state.total_steps // self.plan.steps_per_epoch)

    @property
    def batches_per_step(self) -> int:
        return self.config.trainer.gradient_accumulation_steps * self.plan.batch_parts

    @property
    def learning(self) -> frozenset[str] | None:
        """Names of the weights that learn at this step, None for all: at first the outer layers of a trained model."""
        share = self.config.start.frozen_share
        is_held = self.begin_as is not None and self.state.step < share * self.state.total_steps
        return self.outer if is_held else None

    @cached_property
    def outer(self) -> frozenset[str]:
        """Names of the weights of the last layer, and where channels are new of the first one."""
        architecture, network = self.plan.architecture, self.plan.network
        last = varying_axes(architecture, network, "out_channels")
        first = varying_axes(architecture, network, "in_channels") if self.has_new_channels else {}
        return frozenset({*last, *first})

    @property
    def is_over(self) -> bool:
        return self.state.step >= self.state.total_steps or is_stale(self.config.trainer, self.state)

    @property
    def eta_seconds(self) -> float:
        return self.budget.eta_seconds(self.state.step, self.state.total_steps)
