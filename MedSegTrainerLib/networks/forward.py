"""Running a network on windows: memory format, and 2D networks on slices of volumes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.hardware.device import Precision
from MedSegTrainerLib.networks.layers import to_rows


def window_forward(network: nn.Module, plan: Plan, precision: Precision) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network as a function of (B, C, z, y, x) windows to full-resolution logits (B, classes, z, y, x)."""

    def forward(images: torch.Tensor) -> torch.Tensor:
        flat = images[:, :, 0] if plan.dims == 2 else images
        if plan.channels_last:
            flat = to_rows(flat)
        with precision.forward():
            logits: torch.Tensor = network(flat)[0]
        return logits[:, :, None] if plan.dims == 2 else logits

    return forward


def to_channels_last(network: nn.Module, dims: int) -> nn.Module:
    return network.to(memory_format=_channels_last(dims))  # type: ignore[call-overload]


def _channels_last(dims: int) -> torch.memory_format:
    return torch.channels_last_3d if dims == 3 else torch.channels_last
