"""A transposed convolution beside a skip connection equals PyTorch's own two functions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from MedSegTrainerLib.networks.layers import is_rows, to_rows, upsample_and_join

BLOCKS = [(2, 2, 2), (1, 2, 2), (2, 1, 2), (1, 1, 3), (2, 2), (1, 2)]


def layers(block: tuple[int, ...]) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Of 5 channels 3, beside 2 of the skip connection."""
    torch.manual_seed(len(block))
    size = (3, 2, 4)[: len(block)]
    up: nn.Module = (nn.ConvTranspose3d if len(block) == 3 else nn.ConvTranspose2d)(5, 3, block, block)
    fine = [n * step for n, step in zip(size, block, strict=True)]
    return up, torch.randn(2, 5, *size), torch.randn(2, 2, *fine)


def result_and_gradients(
    up: nn.Module, x: torch.Tensor, skip: torch.Tensor, *, reference: bool
) -> tuple[torch.Tensor, ...]:
    x, skip = (value.detach().requires_grad_() for value in (x, skip))
    out = torch.cat([up(x), skip], dim=1) if reference else upsample_and_join(up, x, skip)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return out, *torch.autograd.grad(out, [x, skip, *up.parameters()], weights)


class TestAgainstTorch:
    @pytest.mark.parametrize("block", BLOCKS)
    @pytest.mark.parametrize("rows", [False, True])
    def test_float32(self, block: tuple[int, ...], rows: bool) -> None:
        up, x, skip = layers(block)
        expected = result_and_gradients(up, x, skip, reference=True)
        if rows:
            x, skip = to_rows(x), to_rows(skip)
        assert is_rows(x) is rows
        actual = result_and_gradients(up, x, skip, reference=False)
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("block", BLOCKS)
    def test_bfloat16_under_autocast(self, block: tuple[int, ...]) -> None:
        up, x, skip = layers(block)
        expected = result_and_gradients(up, x, skip, reference=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = result_and_gradients(up, to_rows(x), to_rows(skip).bfloat16(), reference=False)
        assert actual[0].dtype == torch.bfloat16 and is_rows(actual[0])
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one.float(), other, atol=0.1, rtol=0.02)

    def test_same_bits_in_every_run(self) -> None:
        up, x, skip = layers((2, 2, 2))
        first, second = (result_and_gradients(up, to_rows(x), to_rows(skip), reference=False) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
