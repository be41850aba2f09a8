"""Instance normalisation with the sum and the activation behind it against PyTorch's own functions."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from MedSegTrainerLib.networks.instance_norm import (
    EPSILON,
    SLOPE,
    InstanceNorm,
    InstanceNormAct,
    _NormActPerSample,
    monai_norm,
    norm_act,
    with_fast_instance_norms,
    with_norms,
)

Tensors = tuple[torch.Tensor, ...]

SIZES = {2: (7, 4), 3: (3, 5, 4)}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def expected(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, shortcut: torch.Tensor | None) -> torch.Tensor:
    normed = functional.instance_norm(x, weight=weight, bias=bias, eps=EPSILON)
    return functional.leaky_relu(normed if shortcut is None else normed + shortcut, SLOPE)


def result_and_gradients(
    layer: InstanceNormAct, x: torch.Tensor, *, reference: bool, with_shortcut: bool = False
) -> Tensors:
    """Output and gradients of weight, bias, input and shortcut for a gradient that differs at every voxel."""
    inputs = [x.detach().clone(memory_format=torch.preserve_format).requires_grad_()]
    if with_shortcut:
        inputs.append((x.detach() / 2 + 1).flip(2).requires_grad_())
    shortcut = inputs[1] if with_shortcut else None
    layer.zero_grad()
    weight, bias = layer.weight.to(x.dtype), layer.bias.to(x.dtype)
    out = expected(inputs[0], weight, bias, shortcut) if reference else layer(inputs[0], shortcut)
    out.backward(torch.linspace(-0.1, 0.2, out.numel(), dtype=out.dtype).view(out.shape))
    grads = [value.grad for value in (*inputs, layer.weight, layer.bias)]
    return out.detach(), *(grad.clone() for grad in grads if grad is not None)


def layer_and_input(dims: int, batch: int) -> tuple[InstanceNormAct, torch.Tensor]:
    torch.manual_seed(dims + batch)
    layer = InstanceNormAct(6)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.5, -1.0, 2.0, 0.1, 1.0]))
        layer.bias.copy_(torch.linspace(-0.5, 0.5, 6))
    return layer, 3 * torch.randn(batch, 6, *SIZES[dims]) + torch.arange(6.0).view(1, 6, *[1] * dims)


class TestAgainstTorch:
    @pytest.mark.parametrize(
        ("dims", "batch", "last", "with_shortcut"),
        list(itertools.product((2, 3), (1, 3), (False, True), (False, True))),
    )
    def test_float32(self, dims: int, batch: int, last: bool, with_shortcut: bool) -> None:
        layer, x = layer_and_input(dims, batch)
        if last:
            x = x.contiguous(memory_format=LAST[dims])
        actual = result_and_gradients(layer, x, reference=False, with_shortcut=with_shortcut)
        expected = result_and_gradients(layer, x.double(), reference=True, with_shortcut=with_shortcut)
        assert len(actual) == 4 + with_shortcut
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one.double(), other.double(), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(("last", "with_shortcut"), list(itertools.product((False, True), (False, True))))
    def test_bfloat16_input_as_under_autocast(self, last: bool, with_shortcut: bool) -> None:
        layer, x = layer_and_input(3, 3)
        x = x.bfloat16().contiguous(memory_format=LAST[3] if last else torch.contiguous_format)
        actual = result_and_gradients(layer, x, reference=False, with_shortcut=with_shortcut)
        expected = result_and_gradients(layer, x.float(), reference=True, with_shortcut=with_shortcut)
        assert actual[0].dtype == actual[1].dtype == torch.bfloat16
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one.float(), other, atol=0.05, rtol=0.05)

    def test_numerical_gradient_in_float64(self) -> None:
        torch.manual_seed(5)
        x = torch.randn(2, 2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
        weight = torch.tensor([0.7, -1.3], dtype=torch.float64, requires_grad=True)
        bias = torch.tensor([0.2, -0.1], dtype=torch.float64, requires_grad=True)
        shortcut = torch.randn_like(x).requires_grad_()
        assert torch.autograd.gradcheck(_NormActPerSample.apply, (x, weight, bias, shortcut, SLOPE))


class TestMemory:
    @pytest.mark.parametrize("dims", [2, 3])
    def test_channels_last_stays_channels_last(self, dims: int) -> None:
        layer, x = layer_and_input(dims, 3)
        out = layer(x.contiguous(memory_format=LAST[dims]))
        assert out.is_contiguous(memory_format=LAST[dims])

    def test_the_input_is_left_alone(self) -> None:
        layer, x = layer_and_input(3, 1)
        before = x.clone()
        layer(x)
        assert torch.equal(x, before)


class TestStatistics:
    def test_samples_do_not_see_each_other(self) -> None:
        layer, x = layer_and_input(3, 3)
        alone = torch.cat([layer(x[i : i + 1]) for i in range(3)])
        assert torch.equal(layer(x), alone)

    def test_training_and_evaluation_give_the_same(self) -> None:
        layer, x = layer_and_input(3, 3)
        trained = layer.train()(x)
        assert torch.equal(layer.eval()(x), trained)

    def test_a_constant_map_becomes_the_bias(self) -> None:
        out = InstanceNormAct(1)(torch.full((1, 1, 2, 3, 4), 7.0))
        torch.testing.assert_close(out, torch.zeros_like(out), atol=1e-3, rtol=0)


class TestByName:
    @pytest.mark.parametrize("dims", [2, 3])
    @pytest.mark.parametrize("with_shortcut", [False, True])
    def test_group_and_batch_are_those_of_torch(self, dims: int, with_shortcut: bool) -> None:
        _, x = layer_and_input(dims, 3)
        shortcut = x.flip(2) if with_shortcut else None
        expected = {"group": functional.group_norm(x, 2), "batch": functional.batch_norm(x, None, None, training=True)}
        for name, normed in expected.items():
            total = normed if shortcut is None else normed + shortcut
            actual = norm_act(name, 6, dims).train()(x, shortcut)
            torch.testing.assert_close(actual, functional.leaky_relu(total, SLOPE), atol=1e-5, rtol=1e-5)

    def test_instance(self) -> None:
        assert isinstance(norm_act("instance", 6, 3), InstanceNormAct)

    def test_another_name(self) -> None:
        with pytest.raises(ValueError, match="'layer' is no normalisation; there are instance, group and batch"):
            norm_act("layer", 6, 3)


class TestInPlaceOfTorchs:
    @pytest.mark.parametrize("affine", [True, False])
    @pytest.mark.parametrize("dims", [2, 3])
    def test_results_and_gradients_are_those_of_torch(self, dims: int, affine: bool) -> None:
        torch.manual_seed(3)
        theirs = (torch.nn.InstanceNorm2d if dims == 2 else torch.nn.InstanceNorm3d)(5, affine=affine)
        for weight in theirs.parameters():
            torch.nn.init.normal_(weight)
        ours = InstanceNorm(5, affine=affine)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn((2, 5, 4, 6, 7)[: dims + 2])
        shadow = torch.randn_like(x)
        actual, expected = [], []
        for norm, results in ((ours, actual), (theirs, expected)):
            leaf = x.clone().requires_grad_()
            y = norm(leaf)
            (y * shadow).sum().backward()
            results += [y, leaf.grad, *(weight.grad for weight in norm.parameters())]
        assert len(actual) == (4 if affine else 2)
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    def test_16_bit_feature_maps_without_weights(self) -> None:
        x = torch.randn((2, 3, 8, 9)).to(torch.bfloat16).requires_grad_()
        y = InstanceNorm(3, affine=False)(x)
        y.float().square().sum().backward()
        assert y.dtype == torch.bfloat16 and x.grad is not None
        torch.testing.assert_close(y.float(), functional.instance_norm(x.float()), rtol=0.02, atol=0.02)

    def test_every_one_of_a_network_is_replaced_and_keeps_its_names(self) -> None:
        inner = torch.nn.Sequential(torch.nn.InstanceNorm3d(2), torch.nn.Conv3d(2, 4, 1))
        network = torch.nn.Sequential(inner, torch.nn.InstanceNorm3d(4, affine=True))
        names = network.state_dict().keys()
        fast = with_fast_instance_norms(network)
        assert sum(isinstance(layer, InstanceNorm) for layer in fast.modules()) == 2
        assert fast.state_dict().keys() == names


class TestNormsOfMonai:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("instance", InstanceNorm),
            ("group", torch.nn.GroupNorm),
            ("batch", (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)),
        ],
    )
    def test_stand_where_batch_norm_is_built_in(self, name: str, kind: type) -> None:
        inner = torch.nn.Sequential(torch.nn.BatchNorm3d(12), torch.nn.Conv3d(12, 6, 1))
        network = torch.nn.Sequential(inner, torch.nn.BatchNorm2d(6))
        with_norms(network, name)
        assert isinstance(inner[0], kind) and isinstance(network[1], kind)
        assert isinstance(inner[1], torch.nn.Conv3d)

    @pytest.mark.parametrize(("channels", "groups"), [(64, 8), (48, 8), (12, 4), (7, 1)])
    def test_groups_divide_the_channels(self, channels: int, groups: int) -> None:
        network = torch.nn.Sequential(torch.nn.BatchNorm2d(channels))
        with_norms(network, "group")
        assert isinstance(network[0], torch.nn.GroupNorm) and network[0].num_groups == groups
        assert monai_norm("group", channels) == ("group", {"num_groups": groups})


class TestPartsOfLargerMaps:
    """Such as a network that crops its maps hands on: their voxels lie apart in memory."""

    @pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
    @pytest.mark.parametrize("batch", [1, 2])
    def test_agree_with_pytorch_and_so_do_their_gradients(self, order: torch.memory_format, batch: int) -> None:
        whole = torch.randn(batch, 5, 6, 4, 7, dtype=torch.float64).to(memory_format=order).requires_grad_()
        push = torch.randn(batch, 5, 6, 4, 7, dtype=torch.float64).narrow(2, 1, 3)
        ours = InstanceNormAct(5).double()(whole.narrow(2, 2, 3), whole.narrow(2, 0, 3))
        normed = torch.nn.functional.instance_norm(whole.narrow(2, 2, 3), eps=1e-5) + whole.narrow(2, 0, 3)
        theirs = torch.nn.functional.leaky_relu(normed, 0.01)
        torch.testing.assert_close(ours, theirs)
        gradients = [torch.autograd.grad(result, whole, push)[0] for result in (ours, theirs)]
        torch.testing.assert_close(*gradients)
