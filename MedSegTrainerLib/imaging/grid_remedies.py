"""Why two volumes that belong together lie on different grids, and what to do: resampling is wrong where a header was
lost, for it would move or empty the label map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MedSegTrainerLib.imaging.geometry import Geometry, corners, index_map
from MedSegTrainerLib.imaging.label_grid import is_default_grid
from MedSegTrainerLib.imaging.qform_sform import read_forms
from MedSegTrainerLib.imaging.read import PHOTO_SUFFIXES, image_suffix

UNITS = (1e3, 1e-3, 1e6, 1e-6)  # between metre, millimetre and micron


@dataclass(frozen=True, kw_only=True)
class Volume:
    """name: what it is, such as ``label``."""

    name: str
    path: Path
    grid: Geometry


def difference(fixed: Volume, moved: Volume) -> tuple[str, str] | None:
    """What differs between the grids, with the likely reason, and what to do; None where they agree.

    fixed: whose grid is to be kept, such as the image's.
    """
    differences = fixed.grid.disagreements(moved.grid)
    if not differences:
        return None
    reason, remedy = next(filter(None, (check(fixed, moved) for check in CHECKS)), ("", _resample(fixed, moved)))
    grids = ". ".join(f"{volume.name.capitalize()}: {volume.grid}" for volume in (fixed, moved))
    message = f"{fixed.name} and {moved.name} lie on different grids ({'; '.join(differences)}). {grids}."
    return f"{message} {reason}".rstrip(), remedy


Check = Callable[[Volume, Volume], tuple[str, str] | None]


def _lost_header(fixed: Volume, moved: Volume) -> tuple[str, str] | None:
    if fixed.grid.size != moved.grid.size:
        return None
    for lost, other in ((moved, fixed), (fixed, moved)):
        forms = read_forms(lost.path)
        what = ""
        if forms is not None and not forms.used():
            what = "its qform and sform codes are 0"
        elif is_default_grid(lost.grid):
            what = "it has an identity affine, voxels of 1 mm from 0 on"
        if what:
            return f"The {lost.name} lost its header: {what}.", _copy(lost, other)
    return None


def _other_unit(fixed: Volume, moved: Volume) -> tuple[str, str] | None:
    ratio = np.array(moved.grid.spacing) / fixed.grid.spacing
    for unit in UNITS if fixed.grid.size == moved.grid.size else ():
        if np.allclose(ratio, unit, rtol=0.01):
            reason = (
                f"The voxels of the {moved.name} are {unit:g} times as large as those of the {fixed.name}: one of them "
                "lost its unit (metre, millimetre or micron; xyzt_units of a NIfTI file)."
            )
            return reason, _copy(moved, fixed)
    return None


def _exchanged_axes(fixed: Volume, moved: Volume) -> tuple[str, str] | None:
    if fixed.grid.size == moved.grid.size or sorted(fixed.grid.size) != sorted(moved.grid.size):
        return None
    if {image_suffix(fixed.path), image_suffix(moved.path)} & set(PHOTO_SUFFIXES):
        return (
            "Rows and columns are exchanged: one of them was turned, perhaps by the EXIF orientation of its camera.",
            "Save both again in the same orientation, without EXIF orientation.",
        )
    return (
        "The sizes are the same with axes exchanged: arrays of SimpleITK are z, y, x and those of nibabel x, y, z.",
        f"Write the {moved.name} again with its axes in the order of the {fixed.name} (transposed), and with the "
        f"geometry of the {fixed.name}.",
    )


def _same_box(fixed: Volume, moved: Volume) -> tuple[str, str] | None:
    """Voxel borders, not centres, coincide."""
    if fixed.grid.size == moved.grid.size:
        return None
    boxes = [_box(volume.grid) for volume in (fixed, moved)]
    if np.abs(boxes[0] - boxes[1]).max() > 0.5 * min(*fixed.grid.spacing, *moved.grid.spacing):
        return None
    return (
        f"Both cover the same box, and the {moved.name} has voxels of another size, as a segmentation that 3D Slicer "
        "exports with oversampling.",
        f"Resample the {moved.name} to the {fixed.name}, each voxel from the nearest one (SimpleITK: "
        f"sitk.Resample({moved.name}, {fixed.name}, sitk.Transform(), sitk.sitkNearestNeighbor)), or export it again "
        f"with the {fixed.name} as reference volume.",
    )


def _part(fixed: Volume, moved: Volume) -> tuple[str, str] | None:
    if index_map(moved.grid.affine_ras(), moved.grid.size, fixed.grid.affine_ras()) is None:
        return None
    return (
        f"The voxels of the {moved.name} lie on those of the {fixed.name}, but of another part of the patient: what is "
        "labelled in the rest is not known.",
        f"Export it again with the {fixed.name} as reference volume. Resample it only where the rest is background.",
    )


CHECKS: tuple[Check, ...] = (_lost_header, _other_unit, _exchanged_axes, _same_box, _part)


def _copy(lost: Volume, other: Volume) -> str:
    return (
        f"If its voxels are in the order of the {other.name}, copy the geometry of the {other.name} onto it "
        f"(SimpleITK: {lost.name}.CopyInformation({other.name}); FSL: fslcpgeom). Resampling would empty the label."
    )


def _resample(fixed: Volume, moved: Volume) -> str:
    return f"Resample the {moved.name} to the {fixed.name}, or export it again."


def _box(grid: Geometry) -> np.ndarray:
    """The eight corners of the volume's box, RAS mm (3, 8), in the order of the axes of the grid."""
    ends = corners(grid.size).astype(float)
    ends[:3] = np.where(ends[:3] > 0, ends[:3] + 0.5, -0.5)
    box: np.ndarray = (grid.affine_ras() @ ends)[:3]
    return box
