"""Surfaces of label maps as points with normals, from which a shaded view is drawn without a mesh.

Each structure is smoothed a little and its border is where the smooth field crosses one half; points lie there to a
fraction of a voxel. This is for looking at shapes: details finer than about two voxels are rounded off, and nothing
is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, zoom
from scipy.spatial import KDTree

from MedSegTrainerLib.imaging.class_bits import has_class

FINEST_MM = 0.25
LARGEST_GRID = 120  # voxels along the longest side of all structures together
SMOOTHING = 0.8  # standard deviation in points of the grid, and at least as many voxels of the label map
MARGIN = 4  # voxels of background around a structure, so that its surface is closed and smooth
HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Points of all structures of one label map.

    points: (n, 3) in mm as x, y, z (Left, Posterior, Superior). normals: (n, 3), outwards, of length 1.
    values: (n,) label values. step: mm between neighbouring points.
    """

    points: np.ndarray
    normals: np.ndarray
    values: np.ndarray
    step: float


def find_surface(
    labels: np.ndarray,
    values: Sequence[int],
    spacing_zyx: Sequence[float],
    step: float | None = None,
    *,
    overlapping: bool = False,
) -> Surface:
    """The surfaces of the structures with these ``values`` (above 0) in a label map (z, y, x), spacing in mm.

    step: distance of the points in mm; by default from the size of what is labelled. overlapping: the label map holds
    ``class_bits``.
    """
    step = grid_step(labels, spacing_zyx) if step is None else step
    masks = _overlapping_masks(labels, values) if overlapping else _masks(labels, values)
    borders = [(value, *_border(*masked, spacing_zyx, step)) for value, masked in masks.items()]
    if not borders:
        nothing = np.zeros((0, 3))
        return Surface(points=nothing, normals=nothing, values=np.zeros(0, int), step=step)
    return Surface(
        points=np.concatenate([points for _, points, _ in borders]),
        normals=np.concatenate([normals for _, _, normals in borders]),
        values=np.concatenate([np.full(len(points), value) for value, points, _ in borders]),
        step=step,
    )


def grid_step(labels: np.ndarray, spacing_zyx: Sequence[float]) -> float:
    """mm between points: as fine as the finest axis where the whole fits the largest grid, else coarser."""
    spans = [np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    extent = [
        (indices[-1] - indices[0] + 1) * mm if indices.size else mm
        for indices, mm in zip(spans, spacing_zyx, strict=True)
    ]
    return float(max(FINEST_MM * min(spacing_zyx), 0.5 * min(spacing_zyx), max(extent) / LARGEST_GRID))


def distance_outside(prediction: Surface, reference: Surface) -> np.ndarray:
    """For each point of the prediction: mm to the reference's surface of the same structure, below 0 inside of it.

    Infinite where the reference does not have the structure.
    """
    distances = np.full(len(prediction.points), np.inf)
    for value in np.unique(prediction.values):
        same = reference.values == value
        if not same.any():
            continue
        own = prediction.values == value
        points, normals = reference.points[same], reference.normals[same]
        lengths, nearest = KDTree(points).query(prediction.points[own])
        beyond = np.einsum("ij,ij->i", prediction.points[own] - points[nearest], normals[nearest])
        distances[own] = np.where(beyond < 0, -lengths, lengths)
    return distances


def _masks(labels: np.ndarray, values: Sequence[int]) -> Mapping[int, tuple[np.ndarray, np.ndarray]]:
    """Value to its mask, cropped with a margin, and to the first voxel of that crop (z, y, x)."""
    ranked = np.zeros(labels.shape, np.int32)
    for rank, value in enumerate(values, start=1):
        ranked[labels == value] = rank
    masks = {}
    for rank, box in enumerate(find_objects(ranked, max_label=len(values)), start=1):
        if box is not None:
            corner = np.array([part.start - MARGIN for part in box])
            masks[values[rank - 1]] = np.pad(ranked[box] == rank, MARGIN).astype(np.float32), corner
    return masks


def _overlapping_masks(bits: np.ndarray, values: Sequence[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return {value: masked for value in values for masked in _masks(has_class(bits, value), [True]).values()}


def _border(
    mask: np.ndarray, corner: np.ndarray, spacing_zyx: Sequence[float], step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals where the smoothed mask crosses one half."""
    smooth = gaussian_filter(mask, SMOOTHING)
    counts = [max(2, round(size * mm / step)) for size, mm in zip(mask.shape, spacing_zyx, strict=True)]
    field = zoom(
        smooth, [n / size for n, size in zip(counts, mask.shape, strict=True)], order=1, grid_mode=True, mode="nearest"
    )
    fine = [size * mm / n for size, mm, n in zip(mask.shape, spacing_zyx, field.shape, strict=True)]
    field = gaussian_filter(field, SMOOTHING)
    level = min(HALF, HALF * float(field.max()))  # or what is one voxel large would vanish
    inside = field >= level
    border = np.argwhere(inside & ~_eroded(inside))
    slopes = np.stack([part[tuple(border.T)] for part in np.gradient(field, *fine)], axis=1)
    steepness = np.linalg.norm(slopes, axis=1, keepdims=True).clip(1e-6)
    normals = -slopes / steepness
    ahead = (field[tuple(border.T)] - level)[:, None] / steepness
    points = (border + HALF) * fine + (corner - HALF) * np.array(spacing_zyx)
    return (points + normals * ahead.clip(0, max(fine)))[:, ::-1], normals[:, ::-1]


def _eroded(inside: np.ndarray) -> np.ndarray:
    """Voxels all of whose six neighbours are inside."""
    kept = inside.copy()
    for axis in range(3):
        for shift in (1, -1):
            kept &= np.roll(inside, shift, axis)  # nothing is inside at the edge, which a roll would carry over
    return kept
