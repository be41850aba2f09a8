"""Structure sets of radiotherapy (RTSTRUCT): closed contours in the planes of slices as labels in layers.

Contours of a structure in one slice are filled together by the even-odd rule, so that one inside another is a hole
(PS3.3, C.8.8.6). Points and open contours are no labels, and structures without closed ones are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_dataset import read_dataset, read_in_words
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.polygons import fill_polygons
from MedSegTrainerLib.imaging.segment_layers import Slab, layered_image, only_named
from MedSegTrainerLib.imaging.terminology_text import kind_text

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")
BETWEEN = 0.3  # of the distance between slices that a contour may lie from its slice, or be tilted
FEW_SLICES = 4  # a structure in fewer may well consist of parts


@dataclass(frozen=True, kw_only=True)
class Structure:
    """item: its class, whose value is its place among the structures. contours: (n, 3) LPS mm each."""

    item: LabelClass
    contours: Sequence[np.ndarray]


def structure_classes(path: Path) -> list[LabelClass]:
    """The structures with closed contours, numbered from 1 on; raises DataError where there are none."""
    return [one.item for one in _read(path)]


def several_structures(path: Path) -> bool:
    """Whether structures may have voxels in common: nothing says that they have none."""
    return len(_read(path)) > 1


def source_series(path: Path) -> list[str]:
    """The UIDs of the series that an RTSTRUCT, by what stands in it, was drawn in."""
    dataset = read_dataset(path)
    with read_in_words(path):
        return [
            str(series.SeriesInstanceUID)
            for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []
            for study in frame.get("RTReferencedStudySequence") or []
            for series in study.get("RTReferencedSeriesSequence") or []
        ]


def read_structures(path: Path, grid: Geometry, names: Collection[str] = ()) -> sitk.Image:
    """Labels on ``grid``, in as few layers as overlap needs, with the fields of a ``.seg.nrrd`` that name them.

    names: the structures to read, whatever letters are large; all where empty. Raises DataError where it is damaged, or
    contours of theirs do not lie in slices of the grid, beyond it, or in every second slice only.
    """
    found = {one.item.value: one for one in _read(path)}
    structures = [found[item.value] for item in only_named([one.item for one in found.values()], names)]
    if not structures:
        return layered_image(grid, [], [])
    axis = _slice_axis([one for item in structures for one in item.contours], grid, path)
    slabs = (slab for one in structures for slab in _slabs(one, grid, axis, path))
    return layered_image(grid, [one.item for one in structures], slabs)


def _read(path: Path) -> list[Structure]:
    dataset = read_dataset(path)
    with read_in_words(path):
        contours = {int(one.ReferencedROINumber): one for one in dataset.get("ROIContourSequence") or []}
        kinds = {int(one.ReferencedROINumber): one for one in dataset.get("RTROIObservationsSequence") or []}
        found: list[Structure] = []
        for roi in dataset.get("StructureSetROISequence") or []:
            number = int(roi.ROINumber)
            closed = _closed(contours.get(number, pydicom.Dataset()))
            if closed:
                item = _label_class(len(found) + 1, roi, contours[number], kinds.get(number))
                found.append(Structure(item=item, contours=closed))
        if not found:
            raise ValueError("it has no structures with closed contours")
        return found


def _closed(roi: Any) -> list[np.ndarray]:
    """Contours (n, 3) of a structure that enclose something, each once."""
    seen: dict[bytes, np.ndarray] = {}
    for one in roi.get("ContourSequence") or []:
        if str(one.get("ContourGeometricType")) not in CLOSED or "ContourData" not in one:
            continue
        values = _coordinates(one.get_item("ContourData"))
        if values.size % 3 or not np.isfinite(values).all():
            raise ValueError(f"a contour has {values.size} numbers that are no points")
        if values.size >= 9:
            seen.setdefault(values.tobytes(), values.reshape(-1, 3))
    return list(seen.values())


def _coordinates(element: Any) -> np.ndarray:
    """Numbers of an element, from its text where pydicom has not read it yet: that takes it ten times as long."""
    if not element.is_raw:
        return np.atleast_1d(np.array(element.value or [], float))
    text = (element.value or b"").decode("ascii").strip("\0 ")
    return np.array([float(part) for part in text.split("\\")] if text else [])


def _label_class(value: int, roi: Any, contours: Any, kind: Any) -> LabelClass:
    color = contours.get("ROIDisplayColor")
    rgb = [min(255, max(0, int(part))) for part in color] if color else default_color(value - 1)
    return LabelClass(
        value=value,
        name=str(roi.get("ROIName") or "").strip() or f"label {value}",
        color=(rgb[0], rgb[1], rgb[2]),
        terminology=""
        if kind is None
        else kind_text(next(iter(kind.get("RTROIIdentificationCodeSequence") or []), None)),
    )


def _indices(points: np.ndarray, grid: Geometry) -> np.ndarray:
    """Points (n, 3) in LPS mm as voxels of a grid (x, y, z), not rounded."""
    axes = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing)
    return np.linalg.solve(axes, (points - np.array(grid.origin)).T).T


def _slice_axis(contours: Sequence[np.ndarray], grid: Geometry, path: Path) -> int:
    """The axis of the grid (0 for x) across which all contours are flat."""
    spread = np.array([np.ptp(_indices(points, grid), axis=0) for points in contours]).max(axis=0)
    axis = int(spread.argmin())
    if spread[axis] > BETWEEN:
        raise DataError(
            f"{path}: its contours do not lie in slices of the image. Give the series that they were drawn in, or "
            "convert them on the image's grid in 3D Slicer and save them as .seg.nrrd."
        )
    return axis


def _slabs(structure: Structure, grid: Geometry, axis: int, path: Path) -> Iterator[Slab]:
    across = [other for other in (0, 1, 2) if other != axis]  # columns and rows of a slice
    shape = (grid.size[across[1]], grid.size[across[0]])
    for index, polygons in _by_slice(structure, grid, axis, path).items():
        mask = fill_polygons([points[:, across] for points in polygons], shape)
        where = [slice(None)] * 3
        where[2 - axis] = slice(index, index + 1)
        yield structure.item.value, tuple(where), np.expand_dims(mask, 2 - axis)


def _by_slice(structure: Structure, grid: Geometry, axis: int, path: Path) -> Mapping[int, list[np.ndarray]]:
    """The contours in voxels of the grid by the slice in which they lie."""
    slices: dict[int, list[np.ndarray]] = {}
    name, size = structure.item.name, np.array(grid.size)
    for contour in structure.contours:
        points = _indices(contour, grid)
        place = float(points[:, axis].mean())
        index = round(place)
        beyond = (points.min(axis=0) > size - 0.5) | (points.max(axis=0) < -0.5)
        if beyond.any() or not 0 <= index < size[axis]:
            raise DataError(
                f"{path}: a contour of '{name}' lies beyond the image, at slice {index + 1} of {size[axis]}. Give the "
                "whole series that it was drawn in."
            )
        if abs(place - index) > BETWEEN:
            raise DataError(
                f"{path}: a contour of '{name}' lies between slices {int(place) + 1} and {int(place) + 2} of the "
                "image. Give the series that it was drawn in, or convert it on the image's grid in 3D Slicer."
            )
        slices.setdefault(index, []).append(points)
    drawn = sorted(slices)
    if len(drawn) >= FEW_SLICES and np.diff(drawn).min() > 1:
        raise DataError(
            f"{path}: '{name}' is drawn in every {int(np.diff(drawn).min())}. slice only, and those between would be "
            "background. Fill them in 3D Slicer (Fill between slices) and save it as .seg.nrrd."
        )
    return slices
