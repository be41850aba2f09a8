"""Label maps on the network's grid: nearest neighbour, and no labelled slice between two of its planes is lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.imaging.geometry import Geometry, resample

TIE = 1e-6  # of a voxel: so near to the middle of two voxels, rounding decides which is the nearest


def resample_labels(labels: sitk.Image, target: Geometry, ignored: int | None) -> np.ndarray:
    """The labels (z, y, x) on a grid over the same box; ``ignored``: value of voxels that nobody labelled.

    A voxel takes the value of the nearest one. Where voxels become larger, a labelled part thinner than they are may
    lie between their centres, as a single slice does that somebody drew: then a voxel without label takes that of the
    part in it, the value nearest to its centre. A slice thus covers its own place, or the one plane that it lies in.
    """
    nearest: np.ndarray = sitk.GetArrayFromImage(resample(labels, target, is_label=True))
    values = sitk.GetArrayViewFromImage(labels)
    coarser = [axis for axis in range(3) if nearest.shape[axis] < values.shape[axis]]
    if ignored is None or not coarser or not (nearest == ignored).any():
        return nearest
    lost = _lost(values != ignored, nearest.shape, coarser)
    if lost.any():
        _put_back(nearest, values, lost, target.spacing_zyx, ignored)
    return nearest


def _lost(known: np.ndarray, size: Sequence[int], coarser: Sequence[int]) -> np.ndarray:
    """Known voxels in a run along one of the axes in which no voxel of the new grid has its centre, as a mask."""
    lost = np.zeros(known.shape, bool)
    for axis in coarser:
        along = np.moveaxis(known, axis, -1)
        starts = along.copy()
        starts[..., 1:] &= ~along[..., :-1]
        runs = np.cumsum(starts.ravel(), dtype=np.int64).reshape(along.shape) * along  # 0: not known
        centers = (np.arange(size[axis]) + 0.5) * known.shape[axis] / size[axis] - 0.5
        low, high = (np.floor(centers + part).astype(np.int64) for part in (0.5 - TIE, 0.5 + TIE))
        seen = np.zeros(int(runs.max()) + 1, bool)
        seen[runs[..., low] * (runs[..., low] == runs[..., high])] = True
        np.moveaxis(lost, axis, -1)[...] |= along & ~seen[runs]
    return lost


def _put_back(
    nearest: np.ndarray, values: np.ndarray, lost: np.ndarray, spacing: Sequence[float], ignored: int
) -> None:
    """Gives voxels without label, in place, the value of the lost voxel in them that is nearest to their centre."""
    axes = [_inside(n, m) for n, m in zip(values.shape, nearest.shape, strict=True)]
    best = np.full(nearest.shape, np.inf)
    for chosen in product(*axes):
        indices = np.ix_(*(index for index, _ in chosen))
        distances = np.ix_(*((away * edge) ** 2 for (_, away), edge in zip(chosen, spacing, strict=True)))
        squared = np.where(lost[indices], sum(distances), np.inf)
        take = (squared < best) & ((nearest == ignored) | np.isfinite(best))
        nearest[take] = values[indices][take]
        best[take] = squared[take]


def _inside(length: int, new: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Voxels of an axis that lie in each of its ``new`` voxels: lists of an index for each of these, with its distance
    from the centre in new voxels, infinite where there are fewer; where they become smaller the nearest one."""
    if new >= length:
        centers = (np.arange(new) + 0.5) * length / new
        return [(centers.astype(np.int64), np.zeros(new))]
    places = (np.arange(length) + 0.5) * new / length
    owners = places.astype(np.int64)
    first = np.searchsorted(owners, np.arange(new))
    lists = []
    for step in range(int(np.bincount(owners).max())):
        index = np.minimum(first + step, length - 1)
        away = np.abs(places[index] - np.arange(new) - 0.5)
        lists.append((index, np.where(owners[index] == np.arange(new), away, np.inf)))
    return lists
