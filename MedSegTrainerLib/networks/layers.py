"""The memory order channels-last, in which a feature map is a matrix: a row of channels for every voxel."""

from __future__ import annotations

import torch


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
