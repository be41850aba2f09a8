"""Convolutions of maps that are thinner than the kernel.

PyTorch 2.13 (oneDNN 3) computes their gradient by the weights wrongly on CPUs in bfloat16, from memory that nobody
wrote: with a kernel of 3 for maps of 2 slices, with 5 for up to 4, in any memory order. What counts is the first
spatial axis. With as many zeros more around the map the gradient is right, and the part of the result that was asked
for is the same.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.networks.layers import is_exported, without_gaps


class Conv2d(nn.Conv2d):
    """PyTorch's, also right for thin maps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ahead = _zeros_needed(self, x)
        return _cut(self, super().forward(_widened(x, ahead)), x, ahead) if ahead else super().forward(x)


class Conv3d(nn.Conv3d):
    """PyTorch's, also right for thin maps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ahead = _zeros_needed(self, x)
        return _cut(self, super().forward(_widened(x, ahead)), x, ahead) if ahead else super().forward(x)


RIGHT: dict[type, type] = {nn.Conv2d: Conv2d, nn.Conv3d: Conv3d}


def with_right_thin_maps(network: nn.Module) -> nn.Module:
    """The network, its convolutions made right for thin maps; weights and their names stay."""
    for module in network.modules():
        if type(module) in RIGHT:
            module.__class__ = RIGHT[type(module)]  # as PyTorch's own parametrizations do
    return network


def _zeros_needed(conv: nn.Conv2d | nn.Conv3d, x: torch.Tensor) -> int:
    """Slices of zeros on each side, a multiple of the stride; 0 where the map is thick enough."""
    padding = conv.padding[0]
    if isinstance(padding, str) or padding == 0 or conv.padding_mode != "zeros":
        return 0
    if x.shape[2] > conv.dilation[0] * (conv.kernel_size[0] - 1):
        return 0
    if x.device.type != "cpu" or not torch.is_grad_enabled() or is_exported():
        return 0
    return -(-padding // conv.stride[0]) * conv.stride[0]


def _widened(x: torch.Tensor, ahead: int) -> torch.Tensor:
    return functional.pad(x, [0, 0] * (x.ndim - 3) + [ahead, ahead])


def _cut(conv: nn.Conv2d | nn.Conv3d, result: torch.Tensor, x: torch.Tensor, ahead: int) -> torch.Tensor:
    first, stride = ahead // conv.stride[0], conv.stride[0]
    reach = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return without_gaps(result.narrow(2, first, (x.shape[2] + 2 * int(conv.padding[0]) - reach) // stride + 1))
