"""How an image lies before it comes onto the network's grid: the order of its axes, and the box that is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical

Triple = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """original: the grid of the file. whole: the same voxels with their axes in the order of the plan. region: the box
    of these that is looked at, from the voxel ``start`` (z, y, x, or what stands in their places) on. transpose: what
    became of the axes of the array (z, y, x) after they were turned to the sides that the plan names."""

    original: Geometry
    whole: Geometry
    region: Geometry
    start: Triple = (0, 0, 0)
    transpose: Triple = (0, 1, 2)

    def part(self, image: sitk.Image) -> sitk.Image:
        """The region of an ``arranged`` image on the grid ``whole``."""
        if self.region.size == self.whole.size:
            return image
        return sitk.RegionOfInterest(image, self.region.size, self.start[::-1])

    def restored(self, array: np.ndarray) -> sitk.Image:
        """An array of the region as an image on the grid of the file, to the last digit; 0 outside of the region."""
        if array.shape != self.whole.size_zyx:
            inside, array = array, np.zeros(self.whole.size_zyx, array.dtype)
            array[self.box] = inside
        image = _permuted(self.whole.place(array), _inverse(self.transpose))
        turned = sitk.DICOMOrient(image, self.original.orientation())
        if turned.GetSize() != self.original.size:
            msg = f"The result has size {turned.GetSize()}, the image {self.original.size}"
            raise AssertionError(msg)
        turned.SetSpacing(self.original.spacing)
        turned.SetOrigin(self.original.origin)
        turned.SetDirection(self.original.direction)
        return turned

    @property
    def box(self) -> tuple[slice, ...]:
        """The region as an index of arrays of the whole."""
        return tuple(slice(first, first + n) for first, n in zip(self.start, self.region.size_zyx, strict=True))


def arranged(image: sitk.Image, plan: Plan) -> sitk.Image:
    """The same volume with its axes in the order of the plan; no voxel is interpolated."""
    if plan.preparation is None:
        return to_canonical(image, plan.slice_axis)
    orientation = plan.preparation.orientation
    turned = image if orientation is None else sitk.DICOMOrient(image, orientation)
    return _permuted(turned, plan.preparation.transpose)


def arrangement_of(channels: Sequence[sitk.Image], plan: Plan) -> Arrangement:
    """How the channels of an image lie for a plan, and what of them is looked at."""
    first, original = arranged(channels[0], plan), Geometry.of(channels[0])
    whole = Geometry.of(first)
    if plan.preparation is None:
        return Arrangement(original=original, whole=whole, region=whole)
    start, size = (0, 0, 0), whole.size_zyx
    if plan.preparation.crop_to_nonzero:
        turned = [first, *(arranged(channel, plan) for channel in channels[1:])]
        start, size = _box(nonzero([sitk.GetArrayViewFromImage(channel) for channel in turned]))
    region = replace(whole, size=size[::-1], origin=first.TransformIndexToPhysicalPoint(start[::-1]))
    return Arrangement(
        original=original, whole=whole, region=region, start=start, transpose=plan.preparation.transpose
    )  # fmt: skip


def nonzero(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Mask (z, y, x) of the voxels that are not 0 in every channel (z, y, x)."""
    mask: np.ndarray = arrays[0] != 0
    for array in arrays[1:]:
        mask |= array != 0
    return mask


def _box(mask: np.ndarray) -> tuple[Triple, Triple]:
    """First voxel and size of the smallest box around a mask; of an empty one all of it."""
    start, size = [0, 0, 0], list(mask.shape)
    for axis in range(3) if mask.any() else ():
        places = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        start[axis], size[axis] = int(places[0]), int(places[-1] - places[0] + 1)
    return (start[0], start[1], start[2]), (size[0], size[1], size[2])


def _permuted(image: sitk.Image, transpose: Triple) -> sitk.Image:
    """The image whose array (z, y, x) is ``array.transpose(transpose)``; ITK counts axes from the other end."""
    if transpose == (0, 1, 2):
        return image
    return sitk.PermuteAxes(image, [2 - transpose[2 - axis] for axis in range(3)])


def _inverse(transpose: Triple) -> Triple:
    z, y, x = (transpose.index(axis) for axis in range(3))
    return z, y, x
