"""Average pooling equals PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from MedSegTrainerLib.networks.layers import AveragePool


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (2, 1, 2), (1, 1, 2)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last_3d])
def test_3d_equals_avg_pool3d(stride: tuple[int, int, int], memory: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 6, 8, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=memory)
    x.requires_grad_()
    ours, theirs = AveragePool(stride)(x), functional.avg_pool3d(x, stride)
    assert torch.allclose(ours, theirs, atol=1e-6)
    weights = torch.arange(float(ours.numel())).view_as(ours)
    (grad,) = torch.autograd.grad((ours * weights).sum(), x)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), x)
    assert torch.allclose(grad, expected)


def test_keeps_bfloat16_and_channels_last() -> None:
    x = torch.randn(2, 5, 4, 6, 8).to(torch.bfloat16).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = AveragePool((2, 2, 2))(x)
    assert pooled.dtype == torch.bfloat16
    assert pooled.is_contiguous(memory_format=torch.channels_last_3d)


def test_the_gradient_keeps_them_too() -> None:
    x = torch.randn(2, 5, 4, 6, 8).to(torch.bfloat16).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    pooled = AveragePool((2, 1, 2))(x)
    (grad,) = torch.autograd.grad(pooled, x, torch.ones_like(pooled))
    assert grad.dtype == torch.bfloat16 and grad.eq(0.25).all()
    assert grad.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (2, 1)])
def test_2d_equals_avg_pool2d(stride: tuple[int, int], memory: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 6).contiguous(memory_format=memory).requires_grad_()
    ours, theirs = AveragePool(stride)(x), functional.avg_pool2d(x, stride)
    torch.testing.assert_close(ours, theirs)
    weights = torch.arange(float(ours.numel())).view_as(ours)
    (grad,) = torch.autograd.grad((ours * weights).sum(), x)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), x)
    torch.testing.assert_close(grad, expected)
