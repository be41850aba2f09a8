"""One training step: forward, loss, backward, clip, move the weights, follow with the average."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.device import Precision
from MedSegTrainerLib.ema import WeightAverage
from MedSegTrainerLib.losses import build_loss
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.optim import build_optimizer, set_rate
from MedSegTrainerLib.plan import Plan

Batch = tuple[torch.Tensor, torch.Tensor]


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
        self.loss = build_loss(plan.loss, len(plan.classes) + 1, device)
        self.precision = Precision(device, plan.mixed_precision)
        self.average = WeightAverage(self.network, plan.ema_decay)
        self.clip, self.clip_type = plan.gradient_clip, config.trainer.gradient_clip_type

    def step(self, batches: Iterable[Batch], count: int, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Moves the weights by the mean gradient of ``count`` batches.

        A batch is images (B, C, z, y, x) and class indices (B, z, y, x). Returns the loss and the
        norm of the gradient before clipping, scalars on the device.
        """
        self.network.train()
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for images, labels in batches:
            logits = self.forward(images)
            loss = self.loss(logits, labels[:, 0] if self.plan.dims == 2 else labels) / count
            self.precision.backward(loss)
            total = total + loss.detach()
        self.precision.unscale(self.optimizer)
        norm = self._clip()
        self.precision.step(self.optimizer)
        self.average.follow(self.network)
        return total, norm

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Logits, full resolution first, of (B, C, z, y, x) images; in 2D of their one slice."""
        flat = images[:, :, 0] if self.plan.dims == 2 else images
        if self.plan.channels_last:
            flat = flat.contiguous(memory_format=_channels_last(self.plan.dims))
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
