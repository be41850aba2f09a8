"""Splines of any order onto another number of voxels over the same box, one axis after the other.

A spline over a regular grid is a product of one-dimensional ones, so that each axis is a matrix product, with the
matrix that ``scipy.ndimage.zoom`` (``grid_mode``, border voxels repeated) makes of unit impulses. nnU-Net calls
``skimage.transform.resize``, which calls the same function on the whole volume; results agree to rounding, and on one
core this is some 25 times as fast for cubic splines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MedSegTrainerLib.config.plan import Resampling

ANISOTROPIC = 3.0  # times the shortest edge of a voxel, from which on an axis is resampled by itself: nnU-Net's value
Triple = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class AxisOrders:
    """The order of the spline along z, y and x. alone: the axis that is resampled by itself, after the others."""

    of: Triple
    alone: int | None = None

    @property
    def together(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(3) if axis != self.alone)


LINEAR = AxisOrders(of=(1, 1, 1))


def axis_orders(resampling: Resampling, source_mm: Sequence[float], target_mm: Sequence[float]) -> AxisOrders:
    """For voxels of these edges on both grids.

    As nnU-Net decides it (``determine_do_sep_z_and_axis``): the longest edge of the source counts, where that is not
    much longer than the others that of the target, and none where two edges are the longest.
    """
    orders = [resampling.order] * 3
    grids = {"auto": (source_mm, target_mm), "always": (source_mm,), "never": ()}[resampling.separate_z]
    for edges in grids:
        if resampling.separate_z == "always" or max(edges) / min(edges) > ANISOTROPIC:
            longest = [axis for axis in range(3) if edges[axis] == max(edges)]
            if len(longest) == 1:
                orders[longest[0]] = resampling.order_z
                return AxisOrders(of=(orders[0], orders[1], orders[2]), alone=longest[0])
            break
    return AxisOrders(of=(orders[0], orders[1], orders[2]))


def axis_matrix(source: int, target: int, order: int) -> np.ndarray:
    """float32 (target, source): values along an axis of ``target`` voxels from those of ``source``."""
    impulses = np.eye(source)
    if order == 0:
        return impulses[nearest_voxels(source, target)].astype(np.float32)
    matrix: np.ndarray = ndimage.zoom(impulses, (target / source, 1), order=order, mode="nearest", grid_mode=True)
    return matrix.astype(np.float32)


def nearest_voxels(source: int, target: int) -> np.ndarray:
    """Which of ``source`` voxels is nearest to the centre of each of ``target`` ones; half-way, rounding decides as in
    nnU-Net, which computes it in this order."""
    places = source / target * (np.arange(target) + 0.5) - 0.5
    nearest: np.ndarray = np.floor(places + 0.5).astype(int).clip(0, source - 1)
    return nearest


def resample_axes(array: np.ndarray, size: Sequence[int], orders: AxisOrders) -> np.ndarray:
    """A channel (z, y, x) as float32 of another size.

    What a spline overshoots is cut off: at the range of all values, or where an axis is resampled by itself at that of
    each slice across it, before it is.
    """
    array = array.astype(np.float32, copy=False)
    result = array
    for axis in orders.together:
        result = _along(result, axis, size[axis], orders.of[axis])
    if result is not array and max(orders.of[axis] for axis in orders.together) > 1:
        low, high = (end(axis=orders.together, keepdims=True) for end in (array.min, array.max))
        np.clip(result, low, high, out=result)
    return result if orders.alone is None else _along(result, orders.alone, size[orders.alone], orders.of[orders.alone])


def _along(array: np.ndarray, axis: int, length: int, order: int) -> np.ndarray:
    """(z, y, x) with so many voxels along an axis."""
    if array.shape[axis] == length:
        return array
    matrix = axis_matrix(array.shape[axis], length, order)
    if axis == 2:
        return array @ matrix.T
    if axis == 1:
        return matrix @ array
    flat = matrix @ array.reshape(len(array), -1)
    return flat.reshape(length, *array.shape[1:])
