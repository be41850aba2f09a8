"""A label map, or another channel, on the grid of its image, where its voxels lie on the image's: in another order, as
a part, or by the form of the NIfTI header that ITK does not take. No voxel is interpolated, and no label is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.findings import Finding, Severity
from MedSegTrainerLib.imaging.dicom_labels import is_label_object
from MedSegTrainerLib.imaging.geometry import Geometry, index_map
from MedSegTrainerLib.imaging.qform_sform import read_forms

SEGMENTATION_SUFFIXES = (".seg.nrrd", ".seg.nhdr")


@dataclass(frozen=True, kw_only=True)
class Placed:
    """``image`` on the grid where it belongs there, else as it was read. finding: how it came there, None where
    nothing had to be done; its case is for the caller to fill in."""

    image: sitk.Image
    finding: Finding | None = None


@dataclass(frozen=True, kw_only=True)
class _VoxelMap:
    """``index``: 4x4 whole numbers, from a voxel of the label map to that of the grid. form: '' for what ITK reads."""

    index: np.ndarray
    form: str = ""
    in_use: bool = True


def place_on_grid(image: sitk.Image, path: Path, grid: sitk.Image, grid_path: Path | None, *, is_label: bool) -> Placed:
    """The image of the file ``path`` on the grid of another, whose file may hold a second form.

    is_label: a part of the grid is one with 0 around it.
    """
    part, whole = Geometry.of(image), Geometry.of(grid)
    if not part.disagreements(whole):
        return Placed(image=image)
    values = sitk.GetArrayViewFromImage(image)
    segmentation = is_label and (path.name.lower().endswith(SEGMENTATION_SUFFIXES) or is_label_object(path))
    if segmentation and values.size == 1 and not values.any():  # how 3D Slicer saves empty segments
        return Placed(image=whole.place(np.zeros(whole.size_zyx, values.dtype)))
    for voxel_map in _voxel_maps(part, path, whole, grid_path):
        array = _mapped(values, voxel_map.index, whole, whole_box=segmentation)
        added = 0 if array is None else array.size - values.size
        if array is None or (added and not segmentation and (not is_label or is_default_grid(part))):
            continue
        return Placed(image=whole.place(array), finding=_finding(voxel_map, added, segmentation))
    return Placed(image=image)


def is_default_grid(grid: Geometry) -> bool:
    """Whether this is the grid that arrays get which nobody placed: voxels of 1 mm from 0 on, in LPS or RAS."""
    unit = np.allclose(np.abs(np.array(grid.direction).reshape(3, 3)), np.eye(3), atol=1e-6)
    return unit and grid.spacing == (1.0, 1.0, 1.0) and grid.origin == (0.0, 0.0, 0.0)


def _voxel_maps(part: Geometry, path: Path, whole: Geometry, grid_path: Path | None) -> Iterator[_VoxelMap]:
    """Every way in which voxels of the part lie on those of the whole: as ITK reads both, then by other forms."""
    stored, grid_stored = read_forms(path), None if grid_path is None else read_forms(grid_path)
    targets = {"": whole.affine_ras(), **(grid_stored.used() if grid_stored and grid_stored.size == whole.size else {})}
    used = {"": part.affine_ras(), **(stored.used() if stored else {})}
    if stored is not None and not stored.used():  # ITK makes something up, but the right matrices may stand there
        used = stored.usable()
    for name, affine in used.items():
        for other, target in targets.items():
            index = index_map(affine, part.size, target)
            if index is not None:
                yield _VoxelMap(index=index, form=name or other, in_use=stored is None or bool(stored.used()))


def _mapped(values: np.ndarray, index: np.ndarray, whole: Geometry, *, whole_box: bool) -> np.ndarray | None:
    """Values (z, y, x) in the order and at the place that the map gives them, 0 around them.

    None where labels would lie beyond the grid; where the values are smaller than the grid also unless they are cut to
    their labels, or ``whole_box``: what is missing may have had labels.
    """
    axes = np.abs(index[:3, :3]).argmax(axis=1)
    turned = values.transpose(2, 1, 0).transpose(axes)
    backwards = [a for a in range(3) if index[a, axes[a]] < 0]
    turned = np.flip(turned, tuple(backwards))
    start = [int(index[a, 3]) - (turned.shape[a] - 1 if a in backwards else 0) for a in range(3)]
    low = [max(0, -first) for first in start]
    high = [min(n, total - first) for n, total, first in zip(turned.shape, whole.size, start, strict=True)]
    if any(b <= a for a, b in zip(low, high, strict=True)):
        return None
    inside = turned[tuple(map(slice, low, high))]
    if np.count_nonzero(inside) < np.count_nonzero(values):
        return None
    if inside.shape == whole.size and (whole_box or turned.shape == whole.size):
        return np.ascontiguousarray(inside.transpose(2, 1, 0))
    if not whole_box and (inside.shape != turned.shape or not _is_cut_to_labels(turned, start, whole.size)):
        return None
    filled = np.zeros(whole.size, values.dtype)
    filled[tuple(slice(a + first, b + first) for a, b, first in zip(low, high, start, strict=True))] = inside
    return np.ascontiguousarray(filled.transpose(2, 1, 0))


def _is_cut_to_labels(part: np.ndarray, start: list[int], size: tuple[int, int, int]) -> bool:
    """Whether each face of the part (x, y, z) has a label, or is a face of the whole."""
    for axis in range(3):
        for face, border in ((0, start[axis] <= 0), (-1, start[axis] + part.shape[axis] >= size[axis])):
            if not border and not part.take(face, axis).any():
                return False
    return True


def _finding(voxel_map: _VoxelMap, added: int, segmentation: bool) -> Finding | None:
    severity: Severity = "note"
    if not voxel_map.in_use:
        severity, kind = "warning", "label map that does not say where it lies"
        message = (
            "its label map does not say where it lies (qform and sform codes are 0), and the matrices that stand in it "
            "all the same are those of the image: it was taken as lying there."
        )
        remedy = "Check one case, and copy the image's geometry onto the label maps."
    elif voxel_map.form:
        kind = "image and label fit by one form only"
        message = f"image and label lie on each other by the {voxel_map.form}, and not as ITK and 3D Slicer read them."
        remedy = "Nothing to do here; other programs may refuse them or show them apart."
    elif added > 0 and not segmentation:
        severity, kind = "warning", "label map of a part of the image"
        message = "its label map is cut to its labels and was put where it belongs; the rest is background."
        remedy = "Right where the rest was looked at, too."
    elif added > 0:
        return None  # the habit of .seg.nrrd files
    else:
        kind = "label map with its axes in another order"
        message = "its label map has the image's voxels in another order, and was put into that of the image."
        remedy = "Nothing to do."
    return Finding(severity=severity, kind=kind, message=message, remedy=remedy)
