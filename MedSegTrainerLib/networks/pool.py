"""Averages neighbouring voxels, in the arithmetic and the memory order of its input.

PyTorch's 3D average pooling knows no bfloat16 on CPUs, and the way through float32 costs four times as much;
the gradient of its 2D average pooling takes five times as long as spreading the values over the voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.networks.layers import is_rows


class AveragePool(nn.Module):
    """(B, C, *spatial), each axis a multiple of its stride, which is 1 or 2, to spatial axes divided by it."""

    def __init__(self, stride: Sequence[int]) -> None:
        super().__init__()
        self.stride = tuple(stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _AverageOfRows.apply(x, self.stride) if is_rows(x) else _average(x, self.stride)  # type: ignore[no-untyped-call]


class _AverageOfRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
        ctx.stride = stride
        return _average(x, stride)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        rows = (grads[0] / torch.Size(ctx.stride).numel()).movedim(1, -1)
        for axis in range(rows.ndim - 2, 0, -1):  # the last axis, with the short pieces, while there is least of it
            step = ctx.stride[axis - 1]
            rows = rows.repeat_interleave(step, dim=axis) if step > 1 else rows
        return rows.movedim(-1, 1), None


def _average(x: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
    if x.ndim == 4:
        return functional.avg_pool2d(x, stride)
    slices = x.transpose(1, 2).flatten(0, 1)  # (B * z, C, y, x): a view where the input is channels-last
    flat = functional.avg_pool2d(slices, stride[1:]).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)
    return flat if stride[0] == 1 else (flat[:, :, 0::2] + flat[:, :, 1::2]) / 2
