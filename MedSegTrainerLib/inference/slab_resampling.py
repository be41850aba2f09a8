"""Slabs of a result on the network's grid, brought onto the finer or coarser grid of the image a few planes at a time.

Both grids lie over the same box with parallel axes, so that linear interpolation is one step along z and one in the
plane; beyond the centres of the border voxels these are repeated. It gives what ``geometry.resample`` gives for the
whole volume, and needs memory for some planes only. Plans of another program may want other orders.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from MedSegTrainerLib.imaging.axis_resampling import LINEAR, AxisOrders, nearest_voxels, resample_axes

Triple = tuple[int, int, int]
Slabs = Iterator[tuple[int, torch.Tensor]]

LARGEST_CHUNK = 12 << 20  # bytes of the planes that are worked on at a time, in 32 bits


def planes_at_once(channels: int, source: Triple, target: Triple) -> int:
    """Planes of the target to make at a time."""
    plane = max(target[1] * target[2], source[1] * source[2] * max(1.0, source[0] / target[0]))
    return int(min(target[0], max(1, LARGEST_CHUNK // (4 * channels * plane))))


def onto_grid(slabs: Slabs, source: Triple, target: Triple, step: int, orders: AxisOrders = LINEAR) -> Slabs:
    """Slabs (channels, planes, y, x) of a ``source`` grid as float32 chunks of ``step`` planes of the ``target`` grid.

    Slabs come from low z to high without gaps, and each is used before the next one is taken; chunks go the same way,
    with the index of their first plane. Splines of an order above 1 need all planes at once, and memory for them.
    """
    if max(orders.of) > 1:
        yield from _by_splines(slabs, target, step, orders)
        return
    low, high, share = _neighbours(source[0], target[0], orders.of[0])
    kept: list[torch.Tensor] = []  # planes of earlier slabs that chunks still need, from ``kept_from`` on
    kept_from = done = 0
    for first, slab in slabs:
        end = first + slab.shape[1]
        while done < target[0]:
            stop = min(done + step, target[0])
            if high[stop - 1] >= end:
                break
            chunk = _picked(low[done:stop], slab, first, kept, kept_from)
            weight = share[done:stop].to(chunk.device)[None, :, None, None]
            if bool(weight.any()):
                chunk = torch.lerp(chunk, _picked(high[done:stop], slab, first, kept, kept_from), weight)
            yield done, _in_plane(chunk, target, orders)
            done = stop
        needed = int(low[done]) if done < target[0] else end
        kept = [_plane(i, slab, first, kept, kept_from).clone() for i in range(needed, end)]
        kept_from = needed


def _neighbours(source: int, target: int, order: int) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Of each voxel of an axis the two of the source on its sides and the share of the second, which of order 0 are the
    nearest one."""
    if order == 0:
        nearest = nearest_voxels(source, target)
        return nearest, nearest, torch.zeros(target)
    positions = ((np.arange(target) + 0.5) * source / target - 0.5).clip(0, source - 1)
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, source - 1)
    return low, high, torch.from_numpy((positions - low).astype(np.float32))


def _picked(
    indices: np.ndarray, slab: torch.Tensor, first: int, kept: list[torch.Tensor], kept_from: int
) -> torch.Tensor:
    return torch.stack([_plane(i, slab, first, kept, kept_from) for i in indices.tolist()], dim=1).float()


def _plane(index: int, slab: torch.Tensor, first: int, kept: list[torch.Tensor], kept_from: int) -> torch.Tensor:
    """(channels, y, x) of the slab that begins with plane ``first``, or of what was kept of those before it."""
    return slab[:, index - first] if index >= first else kept[index - kept_from]


def _in_plane(planes: torch.Tensor, target: Triple, orders: AxisOrders) -> torch.Tensor:
    for axis in (1, 2):
        if orders.of[axis] == 0 and planes.shape[axis + 1] != target[axis]:
            nearest = nearest_voxels(planes.shape[axis + 1], target[axis])
            planes = planes.index_select(axis + 1, torch.from_numpy(nearest).to(planes.device))
    if tuple(planes.shape[2:]) == target[1:]:
        return planes
    return functional.interpolate(planes, size=target[1:], mode="bilinear", align_corners=False)


def _by_splines(slabs: Slabs, target: Triple, step: int, orders: AxisOrders) -> Slabs:
    """``onto_grid`` in main memory, class by class: what a spline overshoots depends on all of a class."""
    whole = torch.cat([slab.float().cpu().clone() for _, slab in slabs], dim=1)
    result = torch.empty((len(whole), *target))
    for index, of_class in enumerate(whole.numpy()):
        result[index] = torch.from_numpy(resample_axes(of_class, target, orders))
    for first in range(0, target[0], step):
        yield first, result[:, first : first + step]
