"""What a model says of the slices of an image, along one axis of the patient and counted as its file does."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import where_class
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.partly_labelled import patient_axes

AUTO = "auto"
THICKER = 1.01  # than this many times another axis: slices of cubic voxels are axial
CANONICAL = "LPS"


@dataclass(frozen=True, kw_only=True)
class SliceAxis:
    """An axis of the patient in a file: ``name`` (x, y or z), its place in arrays (z, y, x) of the file, and whether it
    runs against the canonical direction (to Left, Posterior, Superior). voxels: of a slice. voxel_mm2: area of one."""

    name: str
    place: int
    reversed: bool
    slices: int
    voxels: int
    voxel_mm2: float

    def canonical_index(self, index: int) -> int:
        """The slice as an array with canonical directions counts it; the same function leads back."""
        return self.slices - 1 - index if self.reversed else index


@dataclass(frozen=True, kw_only=True)
class CaseSlices:
    """Of n slices. entropy (n,): mean over the voxels of a slice. unsure (classes, n): share of the slice that is
    expected to be wrong about a class. voxels (classes, n): predicted. drawn (n,): whether somebody has drawn the
    slice. unlike: in what the image is unlike those of the training."""

    name: str
    axis: SliceAxis
    entropy: np.ndarray
    unsure: np.ndarray
    voxels: np.ndarray
    drawn: np.ndarray
    unlike: tuple[str, ...] = ()

    @property
    def seen(self) -> np.ndarray:
        """(n,): in which slices the model sees any class."""
        found: np.ndarray = np.asarray(self.voxels.any(axis=0))
        return found


def choose_axis(grid: Geometry, wanted: str, model_axis: str | None) -> SliceAxis:
    """The axis whose slices are drawn in a file on this grid.

    wanted: x, y, z or ``AUTO``: that of the slices a 2D model sees (``model_axis``), else of the thickest ones. A
    picture has one slice, whatever is wanted.
    """
    axes, sizes, spacings = patient_axes(grid), grid.size_zyx, grid.spacing_zyx
    flat = [axis for axis, size in zip(axes, sizes, strict=True) if size == 1]
    if len(flat) == 1:
        wanted = flat[0]
    elif wanted == AUTO and model_axis is not None:
        wanted = model_axis
    elif wanted == AUTO:
        in_order = sorted(range(3), key=lambda place: "zyx".index(axes[place]))
        thickest = in_order[0]
        for place in in_order[1:]:
            thickest = place if spacings[place] > THICKER * spacings[thickest] else thickest
        wanted = axes[thickest]
    place = axes.index(wanted)
    return SliceAxis(
        name=wanted,
        place=place,
        reversed=grid.orientation()[2 - place] not in CANONICAL,
        slices=sizes[place],
        voxels=math.prod(sizes) // sizes[place],
        voxel_mm2=grid.voxel_volume_mm3 / spacings[place],
    )


def case_slices(
    name: str,
    axis: SliceAxis,
    labels: np.ndarray,
    entropy: np.ndarray,
    class_sums: np.ndarray,
    values: Sequence[int],
    drawn: Collection[int] = (),
    unlike: Sequence[str] = (),
    *,
    overlapping: bool = False,
) -> CaseSlices:
    """The slices of a prediction: its labels and entropy as (z, y, x) of the file.

    class_sums (classes, n): of ``SliceSums`` along the axis, in canonical direction. values: of the classes in labels,
    which with ``overlapping`` are ``class_bits``. Raises DataError where the image has not the slices that are drawn.
    """
    beyond = sorted(index for index in drawn if not 0 <= index < axis.slices)
    if beyond:
        raise DataError(
            f"{name} has {axis.slices} slices along {axis.name}, counted from 0, and slice {beyond[0]} is said to be "
            "drawn. Give the slices that the file has."
        )
    across = tuple(place for place in range(3) if place != axis.place)
    sums = class_sums[:, ::-1] if axis.reversed else class_sums
    is_drawn = np.zeros(axis.slices, bool)
    is_drawn[sorted(drawn)] = True
    return CaseSlices(
        name=name,
        axis=axis,
        entropy=entropy.mean(axis=across, dtype=np.float64),
        unsure=sums / axis.voxels,
        voxels=np.stack([np.count_nonzero(where_class(labels, value, overlapping), axis=across) for value in values]),
        drawn=is_drawn,
        unlike=tuple(unlike),
    )
