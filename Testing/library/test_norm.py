"""Instance normalisation with its activation against PyTorch's own two functions."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from MedSegTrainerLib.models.norm import EPSILON, InstanceNormAct, _NormActPerSample

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

SIZES = {2: (7, 4), 3: (3, 5, 4)}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def expected(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float) -> torch.Tensor:
    normed = functional.instance_norm(x, weight=weight, bias=bias, eps=EPSILON)
    return functional.leaky_relu(normed, slope)


def result_and_gradients(layer: InstanceNormAct, x: torch.Tensor, *, reference: bool) -> Tensors:
    """Output and gradients of input, weight and bias for a gradient that differs at every voxel."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    out = expected(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype), layer.slope) if reference else layer(x)
    out.backward(torch.linspace(-0.1, 0.2, out.numel(), dtype=out.dtype).view(out.shape))
    assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
    return out.detach(), x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()


def layer_and_input(dims: int, batch: int, slope: float) -> tuple[InstanceNormAct, torch.Tensor]:
    torch.manual_seed(dims + batch)
    layer = InstanceNormAct(6, slope)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.5, -1.0, 2.0, 0.1, 1.0]))
        layer.bias.copy_(torch.linspace(-0.5, 0.5, 6))
    return layer, 3 * torch.randn(batch, 6, *SIZES[dims]) + torch.arange(6.0).view(1, 6, *[1] * dims)


class TestAgainstTorch:
    @pytest.mark.parametrize(
        ("dims", "batch", "last", "slope"), list(itertools.product((2, 3), (1, 3), (False, True), (0.01, 1.0)))
    )
    def test_float32(self, dims: int, batch: int, last: bool, slope: float) -> None:
        layer, x = layer_and_input(dims, batch, slope)
        if last:
            x = x.contiguous(memory_format=LAST[dims])
        found = result_and_gradients(layer, x, reference=False)
        wanted = result_and_gradients(layer, x.double(), reference=True)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one.double(), other.double(), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("last", [False, True])
    def test_bfloat16_input_as_under_autocast(self, last: bool) -> None:
        layer, x = layer_and_input(3, 3, 0.01)
        x = x.bfloat16().contiguous(memory_format=LAST[3] if last else torch.contiguous_format)
        found = result_and_gradients(layer, x, reference=False)
        wanted = result_and_gradients(layer, x.float(), reference=True)
        assert found[0].dtype == found[1].dtype == torch.bfloat16
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one.float(), other, atol=0.05, rtol=0.05)

    def test_numerical_gradient_in_float64(self) -> None:
        torch.manual_seed(5)
        x = torch.randn(2, 2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
        weight = torch.tensor([0.7, -1.3], dtype=torch.float64, requires_grad=True)
        bias = torch.tensor([0.2, -0.1], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda *values: _NormActPerSample.apply(*values, 0.01), (x, weight, bias))


class TestMemory:
    @pytest.mark.parametrize("dims", [2, 3])
    def test_channels_last_stays_channels_last(self, dims: int) -> None:
        layer, x = layer_and_input(dims, 3, 0.01)
        out = layer(x.contiguous(memory_format=LAST[dims]))
        assert out.is_contiguous(memory_format=LAST[dims])

    def test_the_input_is_left_alone(self) -> None:
        layer, x = layer_and_input(3, 1, 0.01)
        before = x.clone()
        layer(x)
        assert torch.equal(x, before)


class TestStatistics:
    def test_samples_do_not_see_each_other(self) -> None:
        layer, x = layer_and_input(3, 3, 0.01)
        alone = torch.cat([layer(x[i : i + 1]) for i in range(3)])
        assert torch.equal(layer(x), alone)

    def test_training_and_evaluation_give_the_same(self) -> None:
        layer, x = layer_and_input(3, 3, 0.01)
        trained = layer.train()(x)
        assert torch.equal(layer.eval()(x), trained)

    def test_a_constant_map_becomes_the_bias(self) -> None:
        out = InstanceNormAct(1)(torch.full((1, 1, 2, 3, 4), 7.0))
        torch.testing.assert_close(out, torch.zeros_like(out), atol=1e-3, rtol=0)
