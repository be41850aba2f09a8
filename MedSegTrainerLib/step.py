"""One training step: forward, loss, backward, clip, move the weights, follow with the average."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.data.mixing import Batch
from MedSegTrainerLib.device import Precision
from MedSegTrainerLib.ema import WeightAverage
from MedSegTrainerLib.losses import build_loss
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.models.memory import to_rows
from MedSegTrainerLib.optim import build_optimizer, set_rate
from MedSegTrainerLib.plan import Plan


class Learner:
    """A network and everything that changes it, built from a plan."""

    def __init__(self, plan: Plan, config: TrainConfig, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.network = build_network(plan.architecture, plan.network).to(device)
        if plan.channels_last:
            self.network = to_channels_last(self.network, plan.dims)
        self.optimizer = build_optimizer(
            self.network, plan.optimizer_type, plan.learning_rate, plan.weight_decay, config.optimizer
        )
        self.loss = build_loss(plan.loss, len(plan.classes) + 1, device, plan.spacing)
        self.precision = Precision(device, plan.mixed_precision)
        self.average = WeightAverage(self.network, plan.ema_decay)
        self.clip, self.clip_type = plan.gradient_clip, config.trainer.gradient_clip_type

    def step(self, batches: Iterable[Batch], count: int, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Moves the weights by the mean gradient of ``count`` batches.

        Returns the loss and the norm of the gradient before clipping, scalars on the device.
        """
        self.network.train()
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for batch in batches:
            loss = self._loss(batch) / count
            self.precision.backward(loss)
            total = total + loss.detach()
        self.precision.unscale(self.optimizer)
        norm = self._clip()
        self.precision.step(self.optimizer)
        self.average.follow(self.network)
        return total, norm

    def is_finite(self) -> bool:
        """Whether every weight is a finite number; waits for the device."""
        return bool(torch.stack(torch._foreach_norm(list(self.network.parameters()))).isfinite().all())

    def _loss(self, batch: Batch) -> torch.Tensor:
        logits = self.forward(batch[0])
        loss = self.loss(logits, self._targets(batch[1]))
        if len(batch) == 4:
            loss = batch[3] * loss + (1 - batch[3]) * self.loss(logits, self._targets(batch[2]))
        return loss

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        return labels[:, 0] if self.plan.dims == 2 else labels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Logits, full resolution first, of (B, C, z, y, x) images; in 2D of their one slice.

        Neighbouring slices, where there are any, are among the channels.
        """
        flat = images[:, :, 0] if self.plan.dims == 2 else images
        if self.plan.channels_last:
            flat = to_rows(flat)
        with self.precision.forward():
            return self.network(flat)

    def _clip(self) -> torch.Tensor:
        weights = list(self.network.parameters())
        limit = self.clip if self.clip is not None and self.clip_type == "norm" else float("inf")
        norm = nn.utils.clip_grad_norm_(weights, limit)
        if self.clip is not None and self.clip_type == "value":
            nn.utils.clip_grad_value_(weights, self.clip)
        return norm


def to_channels_last(network: nn.Module, dims: int) -> nn.Module:
    return network.to(memory_format=_channels_last(dims))  # type: ignore[call-overload]


def _channels_last(dims: int) -> torch.memory_format:
    return torch.channels_last_3d if dims == 3 else torch.channels_last
