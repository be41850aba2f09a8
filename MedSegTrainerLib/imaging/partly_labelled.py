"""Label maps of which a part alone is labelled: slices with something in them, or a box. Of the rest nothing is known.

Arrays are (z, y, x) of the file's own grid, whatever way it lies in the patient; slices are named by the axis of the
patient that is nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry, index_map

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
AUTO = "auto"
PATIENT_AXES = {"L": "x", "R": "x", "P": "y", "A": "y", "S": "z", "I": "z"}
SAME_RUN = 1e-9  # of mean lengths, which are quotients of the same few whole numbers


@dataclass(frozen=True, kw_only=True)
class LabelledPart:
    """slices: axis of the patient (x, y, z) along which slices with something in them are labelled, ``AUTO`` finds it,
    "" says that all are. box: its first and last voxel (i, j, k) of the file's grid, None for all of it."""

    slices: str = ""
    box: Box | None = None

    @property
    def is_all(self) -> bool:
        return not self.slices and self.box is None


ALL_OF_IT = LabelledPart()


def mark_unlabelled(labels: sitk.Image, part: LabelledPart, ignored: int, own: Geometry) -> sitk.Image:
    """The label map with ``ignored`` wherever nobody labelled.

    own: grid of the file, whose voxels the box counts; the label map may lie on another one that holds the same voxels.
    Raises DataError where the box does not fit, and where nobody can tell along which axis slices were labelled.
    """
    values = sitk.GetArrayFromImage(labels)
    known = np.ones(values.shape, bool)
    if part.slices:
        filled = (values != 0) & (values != ignored)
        known &= labelled_slices(filled, slice_axis(filled, Geometry.of(labels), part.slices))
    if part.box is not None:
        inside = np.zeros(values.shape, bool)
        inside[_box_on(part.box, own, Geometry.of(labels))] = True
        known &= inside
    marked = sitk.GetImageFromArray(np.where(known, values, values.dtype.type(ignored)))
    marked.CopyInformation(labels)
    for key in labels.GetMetaDataKeys():
        marked.SetMetaData(key, labels.GetMetaData(key))
    return marked


def slice_axis(filled: np.ndarray, grid: Geometry, slices: str) -> int:
    """Axis of the array along which slices were labelled; raises DataError where ``AUTO`` cannot tell."""
    axes = patient_axes(grid)
    return found_axis(filled, axes) if slices == AUTO else axes.index(slices)


def patient_axes(grid: Geometry) -> str:
    """The axis of the patient (x, y or z) that is nearest to each axis of an array (z, y, x)."""
    return "".join(PATIENT_AXES[letter] for letter in reversed(grid.orientation()))


def found_axis(filled: np.ndarray, axes: str) -> int:
    """The axis along which the drawing is shortest: there its voxels stand alone or in short runs, while in the plane
    of a slice they touch each other; of a single picture the axis across it. axes: of ``patient_axes``.

    Raises DataError where two axes are alike.
    """
    if not filled.any():
        return 0
    across = [axis for axis, size in enumerate(filled.shape) if size == 1]
    if across:
        return across[0]
    runs = [mean_run(filled, axis) for axis in range(3)]
    shortest = [axis for axis in range(3) if runs[axis] <= min(runs) + SAME_RUN]
    if len(shortest) > 1:
        names = " and ".join(axes[axis] for axis in shortest)
        raise DataError(
            f"nobody can tell along which axis its slices were labelled: the drawing is as long along {names}. Give "
            "labelled_slices as x (left to right), y (front to back) or z (feet to head), or leave it out where all "
            "was labelled."
        )
    return shortest[0]


def labelled_slices(filled: np.ndarray, axis: int) -> np.ndarray:
    """Whether a slice across the axis has something in it: bool, to be broadcast over the array."""
    some: np.ndarray = np.asarray(filled.any(axis=tuple({0, 1, 2} - {axis}), keepdims=True))
    return some


def mean_run(filled: np.ndarray, axis: int) -> float:
    """Voxels of a mask that follow each other along the axis, in the mean over all such runs; the mask is not empty."""
    along = np.moveaxis(filled, axis, 0)
    begins = np.count_nonzero(along[0]) + np.count_nonzero(along[1:] & ~along[:-1])
    return float(np.count_nonzero(filled) / begins)


def _box_on(box: Box, own: Geometry, grid: Geometry) -> tuple[slice, ...]:
    """The box of the file's own grid on another grid, as slices of an array (z, y, x); what lies beyond is cut off."""
    if any(last >= size for last, size in zip(box[1], own.size, strict=True)):
        raise DataError(
            f"its labelled_box {list(map(list, box))} reaches beyond its label map, which has "
            f"{' x '.join(map(str, own.size))} voxels. The first voxel is 0, the last one belongs to the box."
        )
    index = index_map(own.affine_ras(), own.size, grid.affine_ras())
    if index is None:
        if own.size != grid.size:
            raise DataError("its labelled_box cannot be found on the grid of the image. Save both on one grid.")
        index = np.eye(4, dtype=np.int64)  # a file that does not say where it lies has the image's voxels
    ends = index @ np.array([[*corner, 1] for corner in box]).T
    low, high = ends.min(axis=1)[:3].clip(0), ends.max(axis=1)[:3]
    return tuple(slice(int(first), int(last) + 1) for first, last in zip(low[::-1], high[::-1], strict=True))
