"""What is counted and measured of one class of one case, from which every metric is worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from MedSegTrainerLib.imaging.class_bits import has_class

if TYPE_CHECKING:
    from MedSegTrainerLib.metrics.surface_distance import SurfaceDistances

Box = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """One class of one case. Counts are voxels; ``voxels`` are all that were compared, of any class.

    surfaces: None unless both sides have the class. tolerance_mm: what surface Dice allows. is_cut: whether the class
    reaches voxels that nobody labelled on either side, so that nobody knows where it ends.
    """

    intersection: int
    predicted: int
    reference: int
    voxels: int
    voxel_ml: float
    surfaces: SurfaceDistances | None = None
    tolerance_mm: float = 0.0
    is_cut: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether neither side has the class."""
        return not self.predicted and not self.reference

    @property
    def outside(self) -> int:
        """Voxels that the reference does not count to the class."""
        return self.voxels - self.reference

    @property
    def wrong(self) -> int:
        """Voxels that one side alone has: false positives and false negatives."""
        return self.predicted + self.reference - 2 * self.intersection


def overlaps(
    prediction: np.ndarray,
    reference: np.ndarray,
    ordered: Sequence[int],
    spacing_zyx: tuple[float, ...],
    *,
    voxels: int,
    tolerance_mm: float,
    overlapping: bool = False,
    unknown: np.ndarray | None = None,
) -> list[Overlap]:
    """One for each value of ``ordered`` (ascending), worked out inside the bounding box of the class on both sides.

    Arrays are (z, y, x), spacing in mm. Surface distances are measured once for each class; all metrics of
    distance share them. The box changes no number, as ``surface_distance.py`` explains. overlapping: arrays are
    ``class_bits``. unknown: mask of the voxels that nobody labelled, None without any; the surfaces of a class that
    touches them are not measured.
    """
    from scipy.ndimage import find_objects  # scipy only where surfaces are measured: training needs the Dice alone

    from MedSegTrainerLib.metrics.surface_distance import surface_distances

    # An axis of one voxel is no axis: in a 2D image only the outline is surface, not the whole area.
    kept = [axis for axis, size in enumerate(prediction.shape) if size > 1] or [0]
    shape, spacing = [prediction.shape[axis] for axis in kept], tuple(spacing_zyx[axis] for axis in kept)
    sides = [side if overlapping else _ranked(side, ordered) for side in (prediction, reference)]
    sides = [side.reshape(shape) for side in sides]
    border = None if unknown is None or not unknown.any() else beside(unknown).reshape(shape)
    boxes = [[] if overlapping else find_objects(side, max_label=len(ordered)) for side in sides]
    counted = []
    for index, value in enumerate(ordered):
        if overlapping:
            masks = [has_class(side, value) for side in sides]
            box = _joint_box(*(next(iter(find_objects(mask.astype(np.uint8))), None) for mask in masks))
            predicted, expected = (mask[box] for mask in masks)
        else:
            box = _joint_box(boxes[0][index], boxes[1][index])
            predicted, expected = (side[box] == index + 1 for side in sides)
        is_cut = border is not None and bool((border[box] & (predicted | expected)).any())
        counted.append(
            Overlap(
                intersection=int(np.count_nonzero(predicted & expected)),
                predicted=int(np.count_nonzero(predicted)),
                reference=int(np.count_nonzero(expected)),
                voxels=voxels,
                voxel_ml=float(np.prod(spacing_zyx)) / 1000,
                surfaces=None if is_cut else surface_distances(predicted, expected, spacing),
                tolerance_mm=tolerance_mm,
                is_cut=is_cut,
            )
        )
    return counted


def beside(mask: np.ndarray) -> np.ndarray:
    """Voxels with a face in common with one of the mask, of any shape."""
    near = np.zeros(mask.shape, bool)
    for axis in range(mask.ndim):
        moved, still = np.moveaxis(near, axis, 0), np.moveaxis(mask, axis, 0)
        moved[1:] |= still[:-1]
        moved[:-1] |= still[1:]
    return near


def _ranked(labels: np.ndarray, ordered: Sequence[int]) -> np.ndarray:
    """Each label value as its position in ``ordered``, counted from 1; 0 for every other value."""
    values = np.asarray(ordered)
    ranked = np.zeros(labels.shape, np.min_scalar_type(len(ordered)))
    for index, plane in enumerate(labels):  # plane by plane: searchsorted needs eight bytes a voxel
        position = np.searchsorted(values, plane).clip(max=len(ordered) - 1)
        ranked[index] = np.where(values[position] == plane, position + 1, 0)
    return ranked


def _joint_box(first: Box | None, second: Box | None) -> Box:
    """The smallest box around two boxes; an empty one when there is neither."""
    boxes = [box for box in (first, second) if box is not None]
    if not boxes:
        return (slice(0, 0),)
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))
