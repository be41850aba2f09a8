"""Distances in millimetres between the surfaces of two masks.

A surface is what MONAI's ``get_mask_edges`` takes for it: the voxels of a mask that have a face neighbour
outside of it. What lies beyond the array is outside, so masks may be cropped to their joint bounding box
first: the same voxels are surface, and the distances between them stay the same. No margin is needed, since the
nearest surface voxel is looked up among the positions alone, which takes memory for the surface and not for the
volume as a distance map would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

# As fast as any where surfaces are near each other; where they are far apart, six times faster than scipy's defaults
TREE = {"leafsize": 64, "compact_nodes": False, "balanced_tree": False}
ROUNDING = 1e-9  # two voxels of 0.7 mm are a rounding error more than 1.4 mm apart


@dataclass(frozen=True, kw_only=True)
class SurfaceDistances:
    """From each surface voxel of one mask to the nearest surface voxel of the other, in mm, both ways (1D arrays)."""

    to_reference: np.ndarray
    to_prediction: np.ndarray

    def hd(self) -> float:
        """Hausdorff distance of the surfaces in mm: the largest of all distances.

        As in MONAI's ``compute_hausdorff_distance``. SimpleITK's ``HausdorffDistanceImageFilter`` measures between all
        voxels of the masks: the same for its edges, but smaller for a hole or an island inside the other mask,
        which is an error that only surfaces show.
        Source: Huttenlocher et al. 1993, doi:10.1109/34.232073.
        """
        return float(max(self.to_reference.max(), self.to_prediction.max()))

    def hd95(self) -> float:
        """95 % Hausdorff distance in mm: the larger of the two directions' 95th percentiles.

        Source: Huttenlocher et al. 1993, doi:10.1109/34.232073, as in MONAI's ``compute_hausdorff_distance``
        with ``percentile=95``.
        """
        return float(max(np.percentile(self.to_reference, 95), np.percentile(self.to_prediction, 95)))

    def asd(self) -> float:
        """Average symmetric surface distance in mm: the mean over the distances of both directions together.

        As in MONAI's ``compute_average_surface_distance`` with ``symmetric=True``. The average Hausdorff distance of
        SimpleITK is another number: over all voxels of the masks, and the mean of the two directions' means.
        Source: Heimann et al. 2009, doi:10.1109/TMI.2009.2013851.
        """
        total = self.to_reference.sum() + self.to_prediction.sum()
        return float(total / (self.to_reference.size + self.to_prediction.size))

    def dice(self, tolerance_mm: float) -> float:
        """Surface Dice: the share of both surfaces within ``tolerance_mm`` of the other, from 0 to 1.

        Every surface voxel counts the same, as in MONAI's ``compute_surface_dice`` with ``use_subvoxels=False``;
        weighted by area, as the source proposes, it would need another surface than the distances above have.
        A distance of exactly the tolerance counts as within.
        Source: Nikolov et al. 2018, arXiv:1809.04430.
        """
        limit = tolerance_mm * (1 + ROUNDING)
        within = np.count_nonzero(self.to_reference <= limit) + np.count_nonzero(self.to_prediction <= limit)
        return float(within / (self.to_reference.size + self.to_prediction.size))


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> SurfaceDistances | None:
    """Distances between two boolean masks of the same shape; None when either is empty.

    ``spacing`` is in mm, in the order of the axes: (z, y, x), or (y, x) for the masks of a 2D image.
    """
    if not prediction.any() or not reference.any():
        return None
    sides = _edges(prediction), _edges(reference)
    trees = [KDTree(_positions(side, spacing), **TREE) for side in sides]
    return SurfaceDistances(
        to_reference=_nearest(sides[0], sides[1], trees[1], spacing),
        to_prediction=_nearest(sides[1], sides[0], trees[0], spacing),
    )


def _edges(mask: np.ndarray) -> np.ndarray:
    """The surface voxels of a mask: it without its erosion by the face neighbours, 0 beyond the border.

    Shifted copies take a tenth of the time of scipy's ``binary_erosion``.
    """
    inside = mask.copy()
    for axis in range(mask.ndim):
        moved, still = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        moved[1:] &= still[:-1]
        moved[:-1] &= still[1:]
        moved[[0, -1]] = False
    return mask & ~inside


def _positions(edges: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Positions in mm of the voxels that are set, one a row."""
    return np.argwhere(edges) * np.asarray(spacing)


def _nearest(edges: np.ndarray, others: np.ndarray, tree: KDTree, spacing: tuple[float, ...]) -> np.ndarray:
    """From each voxel of ``edges`` to the nearest of ``others``, which ``tree`` holds; 0 where both have it."""
    apart = ~others[edges]
    distances = np.zeros(apart.shape)
    distances[apart] = tree.query(_positions(edges & ~others, spacing))[0]
    return distances
