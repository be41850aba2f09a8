"""Slabs brought onto another grid: the same as the whole volume resampled by SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.imaging.axis_resampling import AxisOrders, resample_axes
from MedSegTrainerLib.imaging.geometry import Geometry, resample
from MedSegTrainerLib.inference.slab_resampling import Triple, onto_grid, planes_at_once


def slabs(volume: torch.Tensor, heights: list[int]) -> Iterator[tuple[int, torch.Tensor]]:
    """Slabs whose memory is spoiled after use, as that of the sliding window is used again."""
    first = 0
    for height in heights:
        part = volume[:, first : first + height].clone()
        yield first, part
        part.fill_(99.0)
        first += height


@pytest.mark.parametrize(
    ("source", "target"),
    [((7, 9, 11), (13, 20, 9)), ((9, 6, 8), (5, 6, 8)), ((6, 5, 4), (6, 5, 4)), ((1, 4, 5), (3, 9, 5))],
)
@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("high", [1, 4])
def test_as_simpleitk(source: Triple, target: Triple, step: int, high: int) -> None:
    volume = torch.randn((2, *source), generator=torch.Generator().manual_seed(4))
    on = Geometry(size=target[::-1], spacing=(0.9, 1.3, 2.1), origin=(5.0, -3.0, 8.0))
    grid = on.resized(tuple(mm * n / m for mm, n, m in zip(on.spacing, target[::-1], source[::-1], strict=True)))  # type: ignore[arg-type]
    assert grid.size_zyx == source
    expected = [sitk.GetArrayFromImage(resample(grid.place(part.numpy()), on, is_label=False)) for part in volume]
    heights = [min(high, source[0] - first) for first in range(0, source[0], high)]
    chunks = list(onto_grid(slabs(volume, heights), source, target, step))
    assert [first for first, _ in chunks] == list(range(0, target[0], step))
    actual = torch.cat([values for _, values in chunks], dim=1)
    np.testing.assert_allclose(actual.numpy(), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize(
    "orders",
    [
        AxisOrders(of=(0, 1, 1), alone=0),
        AxisOrders(of=(1, 0, 1), alone=1),
        AxisOrders(of=(1, 1, 0), alone=2),
        AxisOrders(of=(0, 0, 0)),
        AxisOrders(of=(3, 3, 3)),
        AxisOrders(of=(1, 3, 3), alone=0),
    ],
)
@pytest.mark.parametrize(("source", "target"), [((7, 9, 11), (13, 20, 9)), ((9, 6, 8), (5, 6, 17))])
@pytest.mark.parametrize("step", [2, 100])
def test_other_orders_as_the_whole_volume(source: Triple, target: Triple, step: int, orders: AxisOrders) -> None:
    volume = torch.randn((2, *source), generator=torch.Generator().manual_seed(7))
    expected = np.stack([resample_axes(part.numpy(), target, orders) for part in volume])
    chunks = list(onto_grid(slabs(volume, [2] * (source[0] // 2) + [1]), source, target, step, orders))
    assert [first for first, _ in chunks] == list(range(0, target[0], step))
    np.testing.assert_allclose(torch.cat([values for _, values in chunks], dim=1).numpy(), expected, atol=1e-5)


def test_sixteen_bits_come_as_thirty_two() -> None:
    (chunk,) = [values for _, values in onto_grid(slabs(torch.ones(1, 3, 2, 2).half(), [3]), (3, 2, 2), (3, 4, 2), 9)]
    assert chunk.dtype == torch.float32


def test_many_classes_go_through_a_few_planes_at_a_time() -> None:
    assert planes_at_once(61, (600, 512, 512), (600, 512, 512)) == 1
    assert planes_at_once(3, (40, 50, 40), (40, 50, 40)) == 40
