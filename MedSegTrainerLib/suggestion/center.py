"""Where in a slice to look: its least sure place."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSegTrainerLib.imaging.geometry import Geometry

SMOOTHED = 5  # voxels, so that a single one does not decide
AROUND = 4  # voxels around what is predicted of a class that still belong to it


def center_ras(
    entropy: np.ndarray, mask: np.ndarray, place: int, index: int, grid: Geometry
) -> tuple[float, float, float]:
    """RAS mm of the voxel of a slice with the highest entropy around it; where the class is predicted in the slice,
    only near it.

    entropy: (z, y, x) of the file; mask: where the class is predicted. place: axis of the array across the slice.
    """
    unsure = ndimage.uniform_filter(entropy.take(index, axis=place).astype(np.float32), SMOOTHED)
    near = mask.take(index, axis=place)
    if near.any():
        unsure = np.where(ndimage.binary_dilation(near, iterations=AROUND), unsure, -1)
    row, column = np.unravel_index(int(unsure.argmax()), unsure.shape)
    voxel = [int(row), int(column)]
    voxel.insert(place, index)
    x, y, z = (grid.affine_ras() @ [*reversed(voxel), 1])[:3]
    return round(float(x), 3), round(float(y), 3), round(float(z), 3)
