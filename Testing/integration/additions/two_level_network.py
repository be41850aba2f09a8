"""A network as somebody adds it: a U-Net of two levels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class TwoLevels(nn.Module):
    """(B, in_channels, z, y, x) to logits (B, out_channels, z, y, x); axes are multiples of 2."""

    def __init__(self, *, in_channels: int, out_channels: int, base_channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv3d(in_channels, base_channels, 3, padding=1)
        self.coarse = nn.Conv3d(base_channels, 2 * base_channels, 3, stride=2, padding=1)
        self.head = nn.Conv3d(3 * base_channels, out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = functional.leaky_relu(self.fine(x))
        coarse = functional.leaky_relu(self.coarse(fine))
        return self.head(torch.cat([fine, functional.interpolate(coarse, scale_factor=2.0)], dim=1))
