"""Instance normalisation followed by a leaky ReLU, in as few passes over memory as the device allows.

Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022. On CPUs PyTorch's own instance normalisation
copies channels-last feature maps to another memory order and back, which costs more than the
arithmetic. Here each sample goes through the batch normalisation kernel, which has no such copy,
and the activation overwrites its result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

EPSILON = 1e-5


class InstanceNormAct(nn.Module):
    """Normalises (B, C, *spatial) over space; ``slope`` is that of the leaky ReLU behind it, 1.0 for none."""

    def __init__(self, channels: int, slope: float = 0.01) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu" and not torch.compiler.is_exporting():
            return _NormActPerSample.apply(x, self.weight, self.bias, self.slope)  # type: ignore[no-untyped-call]
        normed = functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        return normed if self.slope == 1.0 else functional.leaky_relu_(normed, self.slope)


class _NormActPerSample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float) -> torch.Tensor:
        out = torch.empty_like(x)
        mean = torch.empty(x.shape[:2], dtype=torch.promote_types(weight.dtype, torch.float32))
        inverse = torch.empty_like(mean)
        for i in range(x.shape[0]):
            into = (out[i : i + 1], mean[i], inverse[i])
            torch.native_batch_norm(x[i : i + 1], weight, bias, None, None, True, 0.0, EPSILON, out=into)
        if slope != 1.0:
            functional.leaky_relu_(out, slope)
        ctx.save_for_backward(x, weight, mean, inverse, out)
        ctx.slope = slope
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        x, weight, mean, inverse, out = ctx.saved_tensors
        grad = grads[0]
        if ctx.slope != 1.0:  # a leaky ReLU keeps the sign, so its result says which side the input was on
            grad = torch.ops.aten.leaky_relu_backward(grad, out, ctx.slope, True)
        grad_x, grad_weight, grad_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        for i in range(x.shape[0]):
            part, part_weight, part_bias = torch.ops.aten.native_batch_norm_backward(
                grad[i : i + 1], x[i : i + 1], weight, None, None, mean[i], inverse[i], True, EPSILON, [True] * 3
            )
            grad_x[i : i + 1] = part
            grad_weight += part_weight
            grad_bias += part_bias
        return grad_x, grad_weight, grad_bias, None
