"""Channels-last memory, also of one channel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from MedSegTrainerLib.networks.layers import is_rows, to_rows


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(4, 5), (2, 4, 5)])
class TestToRows:
    def test_moves_no_value(self, channels: int, size: tuple[int, ...]) -> None:
        x = torch.randn(2, channels, *size)
        assert torch.equal(to_rows(x), x)
        assert is_rows(to_rows(x))

    def test_pointwise_convolutions_go_on_in_it(self, channels: int, size: tuple[int, ...]) -> None:
        conv = (nn.Conv3d if len(size) == 3 else nn.Conv2d)(channels, 6, 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert is_rows(conv(to_rows(torch.randn(2, channels, *size))))

    def test_of_a_part_of_a_larger_tensor(self, channels: int, size: tuple[int, ...]) -> None:
        part = torch.randn(2, 5, *size)[:, :channels, ..., 1:]
        assert torch.equal(to_rows(part), part)
        assert is_rows(to_rows(part))


def test_the_other_order_is_none() -> None:
    assert not is_rows(torch.randn(2, 3, 4, 5))
