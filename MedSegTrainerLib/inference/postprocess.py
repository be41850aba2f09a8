"""Cleaning up a predicted label map: one piece a class, no holes, no specks.

Label arrays are (z, y, x) with 0 as background; each function returns a new array of the same type and leaves the one
it was given alone. Voxels of a class that touch, be it at a corner only, are one piece; a hole is closed where its
voxels meet no other background at their faces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from scipy import ndimage

TOUCHING = np.ones((3, 3, 3), dtype=bool)  # faces, edges and corners
FACES = ndimage.generate_binary_structure(3, 1)


def clean_up(
    labels: np.ndarray,
    spacing_zyx: Sequence[float],
    *,
    largest_component: bool = False,
    fill_holes: bool = False,
    minimum_size_mm3: float = 0.0,
) -> np.ndarray:
    """Specks removed, the largest piece of each class kept, then holes filled, as asked; spacing in mm.

    Raises ValueError where ``labels`` is not 3D.
    """
    if labels.ndim != 3:
        msg = f"A label array has three axes (z, y, x), not the shape {labels.shape}"
        raise ValueError(msg)
    cleaned = labels.copy()
    if minimum_size_mm3 > 0:
        cleaned = remove_small_components(cleaned, spacing_zyx, minimum_size_mm3)
    if largest_component:
        cleaned = keep_largest_components(cleaned)
    return filled_holes(cleaned) if fill_holes else cleaned


def keep_largest_components(labels: np.ndarray, only: Collection[int] | None = None) -> np.ndarray:
    """Of each class the piece with the most voxels; the first in array order of equal ones. The rest is background.

    only: label values of the classes that are touched; all without it.
    """
    kept = labels.copy()
    for part, components, sizes in _components(labels, only):
        kept[part][(components > 0) & (components != sizes[1:].argmax() + 1)] = 0
    return kept


def remove_small_components(
    labels: np.ndarray, spacing_zyx: Sequence[float], minimum_mm3: float, only: Collection[int] | None = None
) -> np.ndarray:
    """Pieces of a class smaller than ``minimum_mm3`` (cubic millimetres) become background; spacing in mm.

    only: label values of the classes that are touched; all without it.
    """
    kept = labels.copy()
    voxel_mm3 = float(np.prod(spacing_zyx))
    for part, components, sizes in _components(labels, only):
        too_small = sizes * voxel_mm3 < minimum_mm3 * (1 - 1e-9)  # a piece of exactly the minimum stays
        too_small[0] = False
        kept[part][too_small[components]] = 0
    return kept


def filled_holes(labels: np.ndarray, only: Collection[int] | None = None) -> np.ndarray:
    """Background that classes close in on all sides becomes the class it touches most; of equals the smaller value.

    What reaches the border of the image is open. An image of one slice is taken as 2D, where z closes nothing in.
    only: label values of the classes that holes may become; all without it.
    """
    filled = labels.copy()
    border = [axis for axis, size in enumerate(labels.shape) if size > 1]
    for box in _box(labels != 0):
        cavities, _ = ndimage.label(labels[box] == 0, FACES)
        open_ones = {0}
        for axis in border:
            for edge in (0, -1):
                open_ones |= set(np.unique(cavities.take(edge, axis=axis)).tolist())
        for index, part in enumerate(ndimage.find_objects(cavities), start=1):
            if index not in open_ones:
                _fill(filled[box], cavities, index, part, only)
    return filled


def _fill(
    filled: np.ndarray, cavities: np.ndarray, index: int, part: tuple[slice, ...], only: Collection[int] | None
) -> None:
    """Gives the voxels of one cavity the class that most of their face neighbours have."""
    around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in part)
    hole = cavities[around] == index
    wall = ndimage.binary_dilation(hole, FACES) & ~hole
    values, counts = np.unique(filled[around][wall], return_counts=True)
    value = values[counts.argmax()]
    if only is None or int(value) in only:
        filled[around][hole] = value


def _components(
    labels: np.ndarray, only: Collection[int] | None
) -> Iterator[tuple[tuple[slice, ...], np.ndarray, np.ndarray]]:
    """For each class its bounding box, the number of the piece of each voxel in it (from 1), and voxels a number."""
    for value in np.unique(labels[labels != 0]).tolist():
        if only is not None and value not in only:
            continue
        for box in _box(labels == value):
            components, _ = ndimage.label(labels[box] == value, TOUCHING)
            yield box, components, np.bincount(components.ravel())


def _box(mask: np.ndarray) -> list[tuple[slice, ...]]:
    """The bounding box of a mask as its only entry; nothing for an empty one."""
    return list(ndimage.find_objects(mask.astype(np.uint8)))
