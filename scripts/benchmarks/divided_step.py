"""A training step taken apart: the functions that trainer, batches and learner call, each under the name of a stage.

What it computes is what ``epoch_batches`` and ``Learner.step`` compute (Testing/benchmarks), so that the times and
counts of its parts are those of a real training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np
import torch

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.data.samples.augment import apply_augmentation, draw_augmentation, source_size
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.data.samples.patches import cut_batch, draw_patch, epoch_order
from MedSegTrainerLib.hardware.device import same_shapes, synchronize
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.optimizers import set_rate

STAGES = ("sample", "augment", "transfer", "forward", "loss", "backward", "optimizer")


class Watch(Protocol):
    """Sees what happens in a stage; a stage may come several times in a step."""

    def stage(self, name: str) -> AbstractContextManager[None]: ...


class Stopwatch:
    """Seconds by stage, added up. It waits for the device at both ends of a stage.

    clock: seconds; of the wall by default.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self.device, self.clock = device, clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        synchronize(self.device)
        started = self.clock()
        yield
        synchronize(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - started


class DividedStep:
    """Steps of an epoch of the default configuration (nothing mixed, cases drawn evenly), on one device alone."""

    def __init__(self, learner: Learner, cases: Sequence[StoredCase], config: TrainConfig, epoch: int = 0) -> None:
        plan, data = learner.plan, config.data
        self.learner, self.cases, self.data, self.epoch = learner, cases, data, epoch
        self.batches = config.trainer.gradient_accumulation_steps * plan.batch_parts
        self.count = 0
        z, y, x = np.max([case.geometry.size_zyx for case in cases], axis=0).tolist()
        self.size = source_size(plan, (z, y, x), data.augmentation_strength)
        self.order = epoch_order(data.seed, epoch, len(cases), plan.samples_per_volume, shuffle=data.shuffle)
        is_there = cases[0].image.device.type == learner.device.type
        self.cut_stage = "sample" if is_there else "transfer"  # cutting brings a patch to the device

    def run(self, watch: Watch, rate: float) -> torch.Tensor:
        """The next step; returns its loss, a scalar on the device."""
        learner = self.learner
        with watch.stage("optimizer"):
            learner.network.train()
            set_rate(learner.optimizer, rate)
            learner.optimizer.zero_grad(set_to_none=True)
            total = torch.zeros((), device=learner.device)
        for _ in range(self.batches):
            images, labels = self._batch(watch)
            with same_shapes(learner.device):
                with watch.stage("forward"):
                    logits = learner.forward(images)
                with watch.stage("loss"):
                    targets = labels[:, 0] if learner.plan.dims == 2 else labels
                    loss = learner.loss(logits, targets) * (1 / self.batches)
                with watch.stage("backward"):
                    learner.precision.backward(loss)
                    total = total + loss.detach()
            del logits, loss
        with watch.stage("optimizer"):
            learner.precision.unscale(learner.optimizer)
            learner._clip()
            learner.precision.step(learner.optimizer)
            learner.average.follow(learner.network)
        return total

    def _batch(self, watch: Watch) -> tuple[torch.Tensor, torch.Tensor]:
        plan, data, device = self.learner.plan, self.data, self.learner.device
        with watch.stage("sample"):
            generator = np.random.default_rng((data.seed, 2, self.epoch, self.count))
            first = self.count * plan.batch_size
            chosen = [int(self.order[(first + i) % len(self.order)]) for i in range(plan.batch_size)]
            share = plan.oversampling(data)
            draws = [draw_patch(generator, i, self.cases[i], plan.patch_size, share) for i in chosen]
        with watch.stage(self.cut_stage):
            images, labels = cut_batch(self.cases, draws, self.size, device, plan.neighbour_slices)
        with watch.stage("augment"):
            draw = draw_augmentation(generator, plan.batch_size, plan, data.augmentation_strength)
            images, labels = apply_augmentation(images, labels, draw, plan)
        self.count += 1
        return images, labels
