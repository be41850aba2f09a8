"""Splines axis by axis: the same as ``scipy.ndimage.zoom`` of the whole volume, and nnU-Net's choice of axes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MedSegTrainerLib.config.plan import Resampling
from MedSegTrainerLib.imaging.axis_resampling import AxisOrders, axis_matrix, axis_orders, nearest_voxels, resample_axes

SHAPE = (7, 12, 9)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)


def zoomed(array: np.ndarray, size: tuple[int, ...], order: int) -> np.ndarray:
    factors = [new / old for new, old in zip(size, array.shape, strict=True)]
    result: np.ndarray = ndimage.zoom(array.astype(float), factors, order=order, mode="nearest", grid_mode=True)
    return result.clip(array.min(), array.max())


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("size", [(11, 7, 20), (7, 12, 4), (3, 12, 9), (1, 1, 1)])
def test_together_as_the_whole_volume(volume: np.ndarray, order: int, size: tuple[int, int, int]) -> None:
    result = resample_axes(volume, size, AxisOrders(of=(order, order, order)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, zoomed(volume, size, order), atol=2e-5)


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_an_axis_alone_comes_after_each_slice(volume: np.ndarray, alone: int) -> None:
    size = (10, 8, 13)
    orders = AxisOrders(of=tuple(0 if axis == alone else 3 for axis in range(3)), alone=alone)  # type: ignore[arg-type]
    in_plane = tuple(n for axis, n in enumerate(size) if axis != alone)
    slices = [zoomed(one, in_plane, 3) for one in np.moveaxis(volume, alone, 0)]
    nearest = np.floor((np.arange(size[alone]) + 0.5) * SHAPE[alone] / size[alone]).astype(int)
    expected = np.moveaxis(np.stack(slices)[nearest], 0, alone)
    np.testing.assert_allclose(resample_axes(volume, size, orders), expected, atol=2e-5)


def test_of_the_same_size_nothing_changes(volume: np.ndarray) -> None:
    assert np.array_equal(resample_axes(volume, SHAPE, AxisOrders(of=(3, 3, 3))), volume)
    one = np.full((1, 4, 5), 7, np.int16)
    assert (resample_axes(one, (1, 9, 2), AxisOrders(of=(3, 3, 3))) == 7).all()


def test_rows_of_a_matrix_are_shares() -> None:
    for order in range(6):
        np.testing.assert_allclose(axis_matrix(9, 14, order).sum(axis=1), 1, atol=1e-5)


def test_half_way_rounding_decides_as_in_map_coordinates() -> None:
    """Of 52 voxels the middle one of 23 lies between two: which is taken changes a whole slice."""
    for source, target in ((52, 23), (7, 2), (30, 12), (5, 15), (99, 9), (3, 8)):
        places = float(source) / target * (np.arange(target) + 0.5) - 0.5
        expected = ndimage.map_coordinates(np.arange(source), [places], order=0, mode="nearest")
        assert np.array_equal(nearest_voxels(source, target), expected)


CUBIC = Resampling(order=3, order_z=0)


@pytest.mark.parametrize(
    ("source", "target", "alone"),
    [
        ((1, 1, 1), (2, 1, 1), None),
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 3.1, 1), (9, 1, 1), 1),  # the grid that values come from is looked at first
        ((3, 1, 1), (1, 1, 3.1), 2),  # exactly 3 times is not more
        ((0.24, 1.25, 1.25), (1, 1, 1), None),  # two edges are the longest
    ],
)
def test_the_longest_edge_is_alone(
    source: tuple[float, ...], target: tuple[float, ...], alone: int | None
) -> None:  # fmt: skip
    orders = axis_orders(CUBIC, source, target)
    assert orders.alone == alone
    assert orders.of == tuple(0 if axis == alone else 3 for axis in range(3))


def test_always_and_never() -> None:
    always, never = (Resampling(order=3, order_z=1, separate_z=choice) for choice in ("always", "never"))  # type: ignore[arg-type]
    assert axis_orders(always, (1.5, 1, 1), (1, 1, 1)) == AxisOrders(of=(1, 3, 3), alone=0)
    assert axis_orders(always, (1, 1, 1), (5, 1, 1)) == AxisOrders(of=(3, 3, 3))
    assert axis_orders(never, (9, 1, 1), (1, 1, 1)) == AxisOrders(of=(3, 3, 3))
