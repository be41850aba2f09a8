"""How much of a case somebody labelled, where it is a part alone: so many slices, or a share of its voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.partly_labelled import mean_run

FEWEST_SLICES, LEAST_RUN = 3, 3  # voxels that follow each other in the plane of a slice
NOTHING = "nothing of it is labelled"


@dataclass(frozen=True, kw_only=True)
class KnownPart:
    """axis: that of the patient (x, y, z) along which the smallest share of slices has labelled voxels, ``slices`` of
    ``of``; ``span`` of them lie from the first of these to the last. share: of all voxels."""

    axis: str
    slices: int
    of: int
    span: int
    share: float

    @property
    def has_gaps(self) -> bool:
        """Whether slices without labelled voxels lie between those that have some."""
        return self.span > self.slices

    @property
    def is_of_slices(self) -> bool:
        """Whether all of each of these slices is labelled."""
        return 0 < self.slices < self.of and round(self.share * self.of, 6) == self.slices

    def __str__(self) -> str:
        share = f"{100 * self.share:.2g} %" if self.share < 0.995 else "more than 99 %"
        if not self.slices:
            return NOTHING
        if self.slices == self.of:
            return f"{share} of its voxels are labelled"
        return f"labelled in {self.slices} of {self.of} slices along {self.axis}, {share} of the voxels"

    def volume_mm3(self, voxels: int, grid: Geometry) -> float:
        """An estimate of the volume of a structure with so many labelled voxels.

        The area in the slices times their distance (Cavalieri's principle), of a single slice that of a body as deep as
        it is wide; elsewhere the labelled volume.
        """
        volume = voxels * grid.voxel_volume_mm3
        if not self.is_of_slices:
            return volume
        thickness = grid.spacing["xyz".index(self.axis)]
        return float((volume / thickness) ** 1.5) if self.slices == 1 else volume * (self.span - 1) / (self.slices - 1)


def single_slices(labelled: np.ndarray) -> str:
    """The axis of the patient along which labels, a mask (z, y, x) in canonical axes, are single slices and nothing
    between them; '' where they are not."""
    for box in ndimage.find_objects(labelled.astype(np.uint8)):
        runs = [mean_run(labelled[box], axis) for axis in range(3)]
        for axis, run in enumerate(runs):
            slices = np.count_nonzero(labelled[box].any(axis=tuple({0, 1, 2} - {axis})))
            others = [length for other, length in enumerate(runs) if other != axis]
            if run == 1 and slices >= FEWEST_SLICES and min(others) >= LEAST_RUN:
                return "zyx"[axis]
    return ""


def known_part(known: np.ndarray) -> KnownPart | None:
    """Of a mask (z, y, x) in canonical axes; None where all is labelled."""
    if known.all():
        return None
    profiles = [known.any(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    axis = min(range(3), key=lambda index: profiles[index].mean())
    places = np.flatnonzero(profiles[axis])
    return KnownPart(
        axis="zyx"[axis],
        slices=len(places),
        of=known.shape[axis],
        span=int(places[-1] - places[0]) + 1 if len(places) else 0,
        share=float(known.mean()),
    )
