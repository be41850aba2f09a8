"""Where a case of the scene was labelled, as voxels of its volume: in slices that hold something or were corrected, or
inside a ROI."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.corrected_slices import changed_part, result_state
from MedSegTrainerUI.scene.export_labels import drawn_part, state_of
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.scene.segment_layers import Part
from MedSegTrainerUI.scene.volumes import matrix_array, relative_matrix, volume_geometry
from MedSegTrainerUI.slicer_types import Node, RoiNode, VolumeNode

AXES = ("x", "y", "z")
CLEARLY = 1.5  # times as broken up along one axis as along the next: the slices lie along it
MOST_REMEMBERED = 200  # cases


@dataclass(frozen=True, kw_only=True)
class RegionFacts:
    """What is drawn where a case was labelled. axis: of the slices, of the patient, "" where it is not slices.

    slices: how many have something in them, or were corrected. voxels: drawn in the whole volume, or corrected; inside:
    where it was labelled.
    """

    axis: str
    slices: int
    voxels: int
    inside: int


_facts: OrderedDict[object, RegionFacts | DataError] = OrderedDict()


def region_facts(row: CaseRow, classes: Sequence[SegmentClass]) -> RegionFacts:
    """Of the segments of the classes; looked at again only when they, their place or the region has changed.

    Raises DataError where the region is none: the ROI is gone, has no size or does not meet the volume, nothing is
    drawn or corrected in any slice, or the direction of the slices cannot be told.
    """
    volume, corrected = row.volumes[0], row.region == "corrected"
    place = array_axis(volume, "x"), array_axis(volume, "y"), row.axis, row.region
    box = _to_roi(row.roi, volume).tobytes() if row.region == "roi" else b""
    key = result_state(row) if corrected else state_of(row.segmentation, volume, classes), place, box
    if key not in _facts:
        part = changed_part(row) if corrected else drawn_part(row.segmentation, volume, classes)
        try:
            _facts[key] = _look(row, part)
        except DataError as error:
            _facts[key] = error
        if len(_facts) > MOST_REMEMBERED:
            _facts.popitem(last=False)
    found = _facts[key]
    if isinstance(found, DataError):
        raise DataError(str(found))
    return found


def labelled_voxels(row: CaseRow, there: np.ndarray) -> np.ndarray:
    """Which voxels (z, y, x) of the first volume somebody labelled. there: those that have a label, of the same shape.

    Raises DataError as ``region_facts`` does.
    """
    if row.region == "corrected":
        part = changed_part(row)
        there = np.zeros(there.shape, bool)
        if part is not None:
            there[part.region] = part.array
    if row.region in ("slices", "corrected"):
        axis = _slices_axis(row, there)
        others = tuple(one for one in range(3) if one != axis)
        return np.broadcast_to(there.any(axis=others, keepdims=True), there.shape)
    if row.region == "roi":
        inside = np.zeros(there.shape, bool)
        part = _inside_roi(row.roi, row.volumes[0])
        inside[part.region] = part.array
        return inside
    return np.ones(there.shape, bool)


def find_slices_axis(there: np.ndarray) -> int | None:
    """The axis of an array of booleans along which drawn slices lie one behind the other; None where it is not clear.

    A slice that was drawn alone ends along this axis at every voxel, and along the others only at the border of what it
    shows. Counted is, along each axis, how many of the drawn voxels are followed by one that is not.
    """
    ends = [_ends(there, axis) for axis in range(3)]
    order = np.argsort(ends)
    if ends[order[2]] >= CLEARLY * ends[order[1]]:
        return int(order[2])
    gaps = [axis for axis in range(3) if _has_gap(there, axis)]
    return gaps[0] if len(gaps) == 1 else None


def array_axis(volume: VolumeNode, axis: str) -> int:
    """The axis of the array (z, y, x) of a volume that runs most along an axis of the patient, as the views show it."""
    to_world = _to_world(volume)
    directions = volume_geometry(volume).ijk_to_ras[:3, :3]
    if to_world is not None:
        directions = to_world[:3, :3] @ directions
    along = np.abs(directions / np.linalg.norm(directions, axis=0))
    best = max(permutations(range(3)), key=lambda order: sum(along[world, ijk] for world, ijk in enumerate(order)))
    return 2 - best[AXES.index(axis)]


def _look(row: CaseRow, part: Part | None) -> RegionFacts:
    if row.region == "roi":
        inside = _inside_roi(row.roi, row.volumes[0])
        both = 0 if part is None else _common(part, inside)
        return RegionFacts(axis="", slices=0, voxels=0 if part is None else int(part.array.sum()), inside=both)
    there = np.zeros((1, 1, 1), bool) if part is None else part.array
    axis = _slices_axis(row, there)
    name = next(one for one in AXES if array_axis(row.volumes[0], one) == axis)
    planes = there.any(axis=tuple(one for one in range(3) if one != axis))
    return RegionFacts(axis=name, slices=int(planes.sum()), voxels=int(there.sum()), inside=int(there.sum()))


def _slices_axis(row: CaseRow, there: np.ndarray) -> int:
    corrected = row.region == "corrected"
    if not there.any():
        nothing = _("Drawn in slices, and no slice has anything in it. Draw one, or say that it is done everywhere.")
        raise DataError(not_looked_at() if corrected else nothing)
    if row.axis:
        return array_axis(row.volumes[0], row.axis)
    axis = find_slices_axis(there)
    if axis is None:
        drawn = _(
            "Which slices were drawn cannot be told from what is there: axial, coronal or sagittal ones. Choose it "
            "with a click in the column 'Drawn'."
        )
        changed = _(
            "Which slices were corrected cannot be told from what was changed: axial, coronal or sagittal ones. Choose "
            "it with a click in the column 'Drawn'."
        )
        raise DataError(changed if corrected else drawn)
    return axis


def not_looked_at() -> str:
    """Of a result that would teach the network nothing but what it says already."""
    return _(
        "Nobody has corrected this result of a model: it would only learn what it says already. Correct some slices in "
        "the Segment Editor, or look at all of it and say so ('I looked at all of it')."
    )


def _ends(there: np.ndarray, axis: int) -> float:
    """The part of the voxels that are followed along the axis by one that is not there."""
    moved = np.moveaxis(there, axis, 0)
    follow = np.count_nonzero(moved[:-1] & moved[1:])
    count = np.count_nonzero(moved)
    return (count - follow) / count


def _has_gap(there: np.ndarray, axis: int) -> bool:
    planes = np.flatnonzero(np.moveaxis(there, axis, 0).any(axis=(1, 2)))
    return bool(planes[-1] - planes[0] + 1 > len(planes))


def _to_roi(roi: RoiNode, volume: VolumeNode) -> np.ndarray:
    """4 x 4: from voxels of the volume to the ROI, whose box lies between -1 and 1 along each axis there.

    The box is the one that the views show: under a transform that shears it stays one with right angles. Whether the
    ROI is turned inside out does not count.
    """
    if roi is None:
        raise DataError(
            _("The ROI inside of which it was drawn is gone. Choose another with a click in the column 'Drawn'.")
        )
    half = np.array(roi.GetSize()) / 2
    if not (half > 0).all():
        raise DataError(_("The ROI {name} has no size. Place it in the views first.").format(name=roi.GetName()))
    to_world = _to_world(volume)
    if to_world is not None and _to_world(roi) is not None:
        to_object = np.linalg.inv(matrix_array(roi.GetObjectToWorldMatrix())) @ to_world
    else:
        to_object = np.linalg.inv(matrix_array(roi.GetObjectToNodeMatrix())) @ relative_matrix(volume, roi)
    return np.diag([*(1 / half), 1]) @ to_object @ volume_geometry(volume).ijk_to_ras


def _to_world(node: Node) -> np.ndarray | None:
    """4 x 4: from the frame of a node to the world; None where a transform between them is not linear."""
    matrix, parent = vtk.vtkMatrix4x4(), node.GetParentTransformNode()
    if parent is not None:
        if not parent.IsTransformToWorldLinear():
            return None
        parent.GetMatrixTransformToWorld(matrix)
    return matrix_array(matrix)


def _inside_roi(roi: RoiNode, volume: VolumeNode) -> Part:
    """The voxels whose centres lie in the ROI, in the smallest box around it on the volume's grid."""
    to_roi, size = _to_roi(roi, volume), np.array(volume_geometry(volume).size)
    corners = np.array([[*corner, 1] for corner in product((-1, 1), repeat=3)]) @ np.linalg.inv(to_roi).T
    low = np.maximum(np.ceil(corners[:, :3].min(axis=0) - 1e-6), 0).astype(int)
    high = np.minimum(np.floor(corners[:, :3].max(axis=0) + 1e-6) + 1, size).astype(int)
    inside = np.zeros(np.maximum(high - low, 0)[::-1], bool)
    if inside.size:
        i, j = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
        for plane, k in zip(inside, range(low[2], high[2]), strict=True):
            along = [row[0] * i + row[1] * j + row[2] * k + row[3] for row in to_roi[:3]]
            plane[:] = np.max(np.abs(along), axis=0) <= 1 + 1e-9
    if not inside.any():
        raise DataError(
            _("The ROI {roi} lies outside of the volume {volume}.").format(roi=roi.GetName(), volume=volume.GetName())
        )
    return Part(array=inside, start=tuple(int(one) for one in low[::-1]))


def _common(one: Part, other: Part) -> int:
    """How many voxels both have."""
    low = np.maximum(one.start, other.start)
    high = np.minimum(np.add(one.start, one.array.shape), np.add(other.start, other.array.shape))
    if (high <= low).any():
        return 0
    first, second = (
        part.array[tuple(slice(a, b) for a, b in zip(low - part.start, high - part.start, strict=True))]
        for part in (one, other)
    )
    return int(np.count_nonzero(first & second))
