"""Averages neighbouring voxels, in the arithmetic and the memory order of its input.

PyTorch's 3D average pooling knows no bfloat16 on CPUs, and the way through float32 costs four times as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class AveragePool(nn.Module):
    """(B, C, *spatial), each axis a multiple of its stride, which is 1 or 2, to spatial axes divided by it."""

    def __init__(self, stride: Sequence[int]) -> None:
        super().__init__()
        self.stride = tuple(stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == 4:
            return functional.avg_pool2d(x, self.stride)
        slices = x.transpose(1, 2).flatten(0, 1)  # (B * z, C, y, x): a view where the input is channels-last
        flat = functional.avg_pool2d(slices, self.stride[1:]).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)
        return flat if self.stride[0] == 1 else (flat[:, :, 0::2] + flat[:, :, 1::2]) / 2
