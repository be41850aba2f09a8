"""Distances in millimetres between the surfaces of two masks.

A surface is what MONAI's ``get_mask_edges`` takes for it: the voxels of a mask that have a face neighbour
outside of it. What lies beyond the array is outside, so masks may be cropped to their joint bounding box
first; the distances stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

LEAF_SIZE = 32  # fewer, larger leaves than scipy's default: the tree is built for a single query


@dataclass(frozen=True, kw_only=True)
class SurfaceDistances:
    """From each surface voxel of one mask to the nearest surface voxel of the other, in mm, both ways (1D arrays)."""

    to_reference: np.ndarray
    to_prediction: np.ndarray

    def hd95(self) -> float:
        """95 % Hausdorff distance in mm: the larger of the two directions' 95th percentiles.

        Source: Huttenlocher et al. 1993, doi:10.1109/34.232073, as in MONAI's ``compute_hausdorff_distance``
        with ``percentile=95``.
        """
        return float(max(np.percentile(self.to_reference, 95), np.percentile(self.to_prediction, 95)))

    def asd(self) -> float:
        """Average symmetric surface distance in mm: the mean over the distances of both directions together.

        Source: Heimann et al. 2009, doi:10.1109/TMI.2009.2013851, as in MONAI's
        ``compute_average_surface_distance`` with ``symmetric=True``.
        """
        return float(np.concatenate([self.to_reference, self.to_prediction]).mean())


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> SurfaceDistances | None:
    """Distances between two boolean masks of the same shape; None when either is empty.

    ``spacing`` is in mm, in the order of the axes: (z, y, x), or (y, x) for the masks of a 2D image.
    """
    if not prediction.any() or not reference.any():
        return None
    predicted = _surface_points(prediction, spacing)
    expected = _surface_points(reference, spacing)
    return SurfaceDistances(to_reference=_nearest(predicted, expected), to_prediction=_nearest(expected, predicted))


def _surface_points(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Positions in mm of the surface voxels, one a row."""
    return np.argwhere(mask & ~binary_erosion(mask)) * np.asarray(spacing)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """From each of ``points`` to the nearest of ``others``."""
    return np.array(KDTree(others, leafsize=LEAF_SIZE).query(points)[0], dtype=np.float64)
