"""Layers that several networks share, in the memory order channels-last, in which a feature map is a matrix: a row of
channels for every voxel.

Averaging: PyTorch's 3D average pooling knows no bfloat16 on CPUs, and the way through float32 costs four times as much;
the gradient of its 2D average pooling takes five times as long as spreading the values over the voxels.

Upsampling: where kernel and stride of a transposed convolution are the same, every coarse voxel makes a block of fine
voxels of its own: it is a matrix product whose rows are spread over the blocks. On CPUs the gradient of PyTorch's
transposed convolution by its weights takes many times as long as this product; and the rows can be written where the
concatenation wants them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def is_exported() -> bool:
    """Whether a network is exported, traced or compiled just now: the result shall consist of PyTorch's own layers."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def is_rows(x: torch.Tensor) -> bool:
    """Whether (B, C, *spatial) lies channels-last on a CPU, where it pays to write layers for that order.

    Never while a network is exported.
    """
    return x.device.type == "cpu" and not is_exported() and x.movedim(1, -1).is_contiguous()


def to_rows(x: torch.Tensor) -> torch.Tensor:
    """(B, C, *spatial) in channels-last memory.

    One channel lies the same in both orders, and PyTorch then takes it for the other one, in which it goes on;
    so its strides are made to say which is meant.
    """
    if x.shape[1] == 1:
        return x.contiguous().view(x.shape[0], *x.shape[2:], 1).movedim(-1, 1)
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def without_gaps(x: torch.Tensor) -> torch.Tensor:
    """The tensor itself, or a copy in the same order where it is a part of a larger one."""
    if x.is_contiguous() or x.movedim(1, -1).is_contiguous():
        return x
    return to_rows(x) if x.stride(1) == 1 else x.contiguous()


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


def upsample_and_join(up: nn.Module, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """``torch.cat([up(x), skip], dim=1)`` for a transposed convolution ``up`` with kernel = stride.

    x is (B, C, *spatial), skip (B, D, *finer), where finer is spatial times the stride.
    """
    if not (is_rows(x) and is_rows(skip)):
        return torch.cat([up(x), skip], dim=1)
    weight, bias = up.get_parameter("weight"), up.bias
    block, outputs = weight.shape[2:], weight.shape[1]
    dims = len(block)
    matrix = weight.movedim((0, 1), (-1, -2)).flatten(0, dims)  # (block * outputs, C)
    rows = functional.linear(
        x.movedim(1, -1), matrix, bias.repeat(block.numel()) if isinstance(bias, torch.Tensor) else None
    )
    blocks = rows.unflatten(-1, (*block, outputs))  # (B, *spatial, *block, outputs)
    order = [axis for i in range(dims) for axis in (1 + i, 1 + dims + i)]
    fine = blocks.permute(0, *order, 2 * dims + 1)  # (B, z, block z, y, block y, x, block x, outputs)
    beside = skip.movedim(1, -1).reshape(*fine.shape[:-1], -1)
    joined = torch.cat([fine, beside], dim=-1)
    return joined.reshape(x.shape[0], *skip.shape[2:], -1).movedim(-1, 1)
