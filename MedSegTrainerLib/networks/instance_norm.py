"""Instance normalisation, the sum with a shortcut and a leaky ReLU, in as few passes over memory as the device allows.

Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022. On CPUs PyTorch's own instance normalisation
copies channels-last feature maps to another memory order and back, which costs more than the
arithmetic. Here each sample goes through the batch normalisation kernel, which has no such copy,
and the sum and the activation overwrite its result.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.networks.layers import is_exported, without_gaps

EPSILON = 1e-5
MOST_GROUPS = 8
SLOPE = 0.01  # of the leaky ReLU
NO_ACTIVATION = 1.0  # as a slope


class InstanceNorm(nn.Module):
    """Normalises (B, C, *spatial) over space; ``affine`` has a weight and a bias for each channel."""

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        ones, zeros = torch.ones(channels), torch.zeros(channels)
        self.weight: torch.Tensor
        self.bias: torch.Tensor
        if affine:
            self.weight, self.bias = nn.Parameter(ones), nn.Parameter(zeros)
        else:
            self.register_buffer("weight", ones, persistent=False)
            self.register_buffer("bias", zeros, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu" and not is_exported():
            return _NormActPerSample.apply(x, self.weight, self.bias, None, NO_ACTIVATION)  # type: ignore[no-untyped-call]
        return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)


class InstanceNormAct(nn.Module):
    """Normalises (B, C, *spatial) over space, adds ``shortcut`` of the same shape, and applies a leaky ReLU.

    slope: of its negative side; 0 is a ReLU, ``NO_ACTIVATION`` none.
    """

    def __init__(self, channels: int, slope: float = SLOPE) -> None:
        super().__init__()
        self.slope = slope
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
        if x.device.type == "cpu" and not is_exported():
            return _NormActPerSample.apply(x, self.weight, self.bias, shortcut, self.slope)  # type: ignore[no-untyped-call]
        normed = functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        summed = normed if shortcut is None else normed + shortcut
        return summed if self.slope == NO_ACTIVATION else functional.leaky_relu_(summed, self.slope)


class AnyNormAct(nn.Module):
    """The same with a normalisation of PyTorch's that keeps the shape."""

    def __init__(self, norm: nn.Module, slope: float = SLOPE) -> None:
        super().__init__()
        self.norm = norm
        self.slope = slope

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
        normed = self.norm(x)
        return functional.leaky_relu(normed if shortcut is None else normed + shortcut, self.slope)


def norm_act(name: str, channels: int, dims: int, slope: float = SLOPE) -> nn.Module:
    """``instance``, ``group`` (Wu and He 2018) or ``batch`` (Ioffe and Szegedy 2015), with sum and activation."""
    if name == "instance":
        return InstanceNormAct(channels, slope)
    if name == "group":
        return AnyNormAct(nn.GroupNorm(math.gcd(channels, MOST_GROUPS), channels), slope)
    if name == "batch":
        return AnyNormAct(nn.BatchNorm3d(channels) if dims == 3 else nn.BatchNorm2d(channels), slope)
    msg = f"'{name}' is no normalisation; there are instance, group and batch"
    raise ValueError(msg)


def monai_norm(name: str, channels: int) -> tuple[str, dict[str, Any]]:
    """MONAI's arguments for a normalisation of feature maps, their number a multiple of ``channels``."""
    if name == "group":
        return "group", {"num_groups": math.gcd(channels, MOST_GROUPS)}
    return name, {"affine": True}


def with_norms(network: nn.Module, name: str) -> None:
    """Puts ``instance`` or ``group`` normalisation where a network of MONAI's has batch normalisation built in."""
    for child_name, child in network.named_children():
        if not isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)):
            with_norms(child, name)
        elif name == "instance":
            setattr(network, child_name, InstanceNorm(child.num_features))
        elif name == "group":
            groups = math.gcd(child.num_features, MOST_GROUPS)
            setattr(network, child_name, nn.GroupNorm(groups, child.num_features))


def with_fast_instance_norms(network: nn.Module) -> nn.Module:
    """The network with every instance normalisation of PyTorch's replaced by ``InstanceNorm``; its weights keep their
    names."""
    for name, child in network.named_children():
        if isinstance(child, (nn.InstanceNorm2d, nn.InstanceNorm3d)):
            setattr(network, name, InstanceNorm(child.num_features, affine=child.affine))
        else:
            with_fast_instance_norms(child)
    return network


class _NormActPerSample(torch.autograd.Function):
    """``slope`` NO_ACTIVATION has no activation."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        shortcut: torch.Tensor | None,
        slope: float,
    ) -> torch.Tensor:
        x = without_gaps(x)  # PyTorch's kernel fills the result as if it were
        out = torch.empty_like(x)
        mean = torch.empty(x.shape[:2], dtype=torch.promote_types(weight.dtype, torch.float32))
        inverse = torch.empty_like(mean)
        for i in range(x.shape[0]):
            into = (out[i : i + 1], mean[i], inverse[i])
            torch.native_batch_norm(x[i : i + 1], weight, bias, None, None, True, 0.0, EPSILON, out=into)
        if shortcut is not None:
            out += shortcut
        if slope != NO_ACTIVATION:
            functional.leaky_relu_(out, slope)
        ctx.save_for_backward(x, weight, mean, inverse, None if slope == NO_ACTIVATION else out)
        ctx.has_shortcut, ctx.slope = shortcut is not None, slope
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, inverse, out = ctx.saved_tensors
        grad = grads[0]
        if out is not None:  # a leaky ReLU keeps the sign, so its result says which side the input was on
            grad = torch.ops.aten.leaky_relu_backward(grad, out, ctx.slope, True)
        grad_x, grad_weight, grad_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        for i in range(x.shape[0]):
            part, part_weight, part_bias = torch.ops.aten.native_batch_norm_backward(
                grad[i : i + 1], x[i : i + 1], weight, None, None, mean[i], inverse[i], True, EPSILON, [True] * 3
            )
            grad_x[i : i + 1] = part
            grad_weight += part_weight
            grad_bias += part_bias
        return grad_x, grad_weight, grad_bias, grad if ctx.has_shortcut else None, None
