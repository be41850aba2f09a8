from __future__ import annotations

import pytest
import torch
from torch import nn

from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.onednn_conv_fix import with_right_thin_maps

CHANNELS = 16


def convolution(kernel: int, stride: int, dims: int = 3, dilation: int = 1) -> nn.Module:
    torch.manual_seed(0)
    kind = nn.Conv3d if dims == 3 else nn.Conv2d
    padding = dilation * (kernel // 2)
    return kind(CHANNELS, CHANNELS, kernel, stride, padding, dilation, bias=False)


def gradient(layer: nn.Module, image: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Of the layer's weights, with the arithmetic of ``dtype``."""
    layer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        result = layer(image if dtype == torch.bfloat16 else image.to(dtype))
    result.backward(torch.randn(result.shape, generator=torch.Generator().manual_seed(1)).to(result.dtype))
    weight = next(layer.parameters())
    assert weight.grad is not None
    return weight.grad.double()


@pytest.mark.parametrize("kernel, slices", [(3, 1), (3, 2), (5, 1), (5, 3), (5, 4)])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_16_bits_are_those_of_64(kernel: int, slices: int, stride: int) -> None:
    image = torch.randn(2, CHANNELS, slices, 6, 5)
    layer = with_right_thin_maps(convolution(kernel, stride))
    actual = gradient(layer, image, torch.bfloat16)
    expected = gradient(layer.double(), image, torch.float64)
    assert (actual - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("slices", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("kernel, stride, dilation", [(3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (5, 3, 1), (3, 1, 2)])
@pytest.mark.parametrize("dims", [2, 3])
def test_results_are_those_of_pytorch(slices: int, kernel: int, stride: int, dilation: int, dims: int) -> None:
    image = torch.randn(1, CHANNELS, slices, *((7, 6)[: dims - 1]))
    expected = convolution(kernel, stride, dims, dilation)(image)
    actual = with_right_thin_maps(convolution(kernel, stride, dims, dilation))(image)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_every_convolution_of_a_network_is_right_and_keeps_its_name() -> None:
    parameters = {
        "dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "base_channels": 4,
        "norm": "instance",
        "dropout": 0.0,
    }
    network = build_network("VNet", parameters)
    assert not [module for module in network.modules() if type(module) in (nn.Conv2d, nn.Conv3d)]
    assert "body.down.3.ops.0.conv_block.conv.weight" in network.state_dict()
