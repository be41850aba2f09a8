"""The planes of a DICOM image on whose grid a label map lies: the instances, or frames, that a SEG refers to.

They are found by where they lie along the normal of the planes, never by names or numbers of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.dicom import series_files
from MedSegTrainerLib.imaging.dicom_dataset import FunctionalGroups, read_dataset, read_in_words
from MedSegTrainerLib.imaging.geometry import Geometry

ONE_SERIES = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
OF_INSTANCE = ("SOPClassUID", "SOPInstanceUID", *ONE_SERIES)
OF_PLANE = {  # and the functional group of it in files with several frames
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}
MAY_BE_EMPTY = (  # type 2 of PS3.3: must be there, and programs that make a file anonymous leave them out
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
BESIDE = 0.25  # of the distance between slices that a plane may lie from its slice
SHIFTED = 1.0  # pixels that it may lie beside it
TURNED = 1e-2  # of a direction cosine
INSTEAD = "or write another format, such as seg.nrrd or nii.gz."


@dataclass(frozen=True, kw_only=True)
class SourcePlanes:
    """instances: headers without pixels; those of a series in the order of the grid, or the one file with all frames.
    slices: for each instance, or each frame, the slice of the grid (index of z) that lies there. further: those of the
    other channels, which were looked at too."""

    instances: tuple[Dataset, ...]
    slices: tuple[int, ...]
    further: tuple[Dataset, ...] = ()


def source_planes(path: Path, grid: Geometry, channels: Sequence[Path] = ()) -> SourcePlanes:
    """The planes of a DICOM file, or of the series in a folder, that the volume with this grid was read from.

    channels: the files of the other channels on this grid; what is DICOM of the same study is referred to.
    Raises DataError where it is no DICOM image, lacks what a SEG must refer to (all missing tags are named), or has no
    plane for some slice of the grid.
    """
    with read_in_words(path):
        found = _find_planes(path, grid)
    study = found.instances[0].StudyInstanceUID
    return replace(found, further=tuple(one for channel in channels for one in _further(channel, grid, study)))


def _further(path: Path, grid: Geometry, study: str) -> list[Dataset]:
    """The instances of a channel; none where it is no DICOM that can be referred to."""
    try:
        with read_in_words(path):
            return [one for one in _find_planes(path, grid).instances if one.StudyInstanceUID == study]
    except DataError:
        return []


def _find_planes(path: Path, grid: Geometry) -> SourcePlanes:
    headers = _largest_series(path, grid)
    planes = [plane for header in headers for plane in _planes_of(header)]
    _refuse_missing(path, headers, planes)
    _refuse_several(path, headers)
    slices = [_slice_at(plane, grid) for plane in planes]
    found = [index for index in slices if index is not None]
    is_one_file = len(headers) == 1
    if sorted(found) != list(range(grid.size[2])) or (is_one_file and len(found) < len(slices)):
        single = sum(count == 1 for count in Counter(found).values())
        raise DataError(
            f"{path}: of the {grid.size[2]} slices of the label map {single} lie where one slice of the DICOM image "
            "is, and a DICOM segmentation refers to one for each. Give the series that was segmented, " + INSTEAD
        )
    plane = planes[slices.index(0)]
    if is_one_file:
        return SourcePlanes(instances=(_completed(headers[0], plane, grid),), slices=tuple(found))
    by_slice = {index: header for header, index in zip(headers, slices, strict=True) if index is not None}
    instances = tuple(_completed(by_slice[index], plane, grid) for index in sorted(by_slice))
    return SourcePlanes(instances=instances, slices=tuple(sorted(by_slice)))


def _largest_series(path: Path, grid: Geometry) -> list[Dataset]:
    """The headers of the series with the most planes of the size of the grid; beside it may lie scouts and reports."""
    series: dict[str, list[Dataset]] = {}
    for header in filter(None, map(_header, series_files(path) if path.is_dir() else [path])):
        if (header.get("Columns"), header.get("Rows")) == grid.size[:2]:
            series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    if not series:
        raise DataError(
            f"{path} is no DICOM image with slices of {grid.size[0]} x {grid.size[1]} pixels, and a DICOM segmentation "
            "refers to one. Give the DICOM series itself, " + INSTEAD
        )
    largest = max(series.values(), key=lambda headers: sum(map(_frames, headers)))
    if len(largest) > 1 and max(map(_frames, largest)) > 1:
        raise DataError(
            f"{path}: the series has {len(largest)} files, some of several frames, and a DICOM segmentation refers to "
            "slices in files of their own, or to the frames of one file. Give that file, " + INSTEAD
        )
    return largest


def _header(path: Path) -> Dataset | None:
    """None for what is no DICOM file."""
    try:
        return read_dataset(path, pixels=False)
    except DataError:
        return None


def _frames(header: Dataset) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _planes_of(header: Dataset) -> list[dict[str, Any]]:
    """What each plane of a file has of ``OF_PLANE``."""
    groups = FunctionalGroups(header)
    if not groups.frames and _frames(header) == 1:
        return [{name: header[name].value for name in OF_PLANE if _has(header, name)}]
    return [
        {name: item[name].value for name, group in OF_PLANE.items() if _has(item := groups.item(frame, group), name)}
        for frame in range(_frames(header))
    ]


def _has(dataset: Dataset, name: str) -> bool:
    return name in dataset and dataset[name].value not in (None, "", [])


def _refuse_missing(path: Path, headers: Sequence[Dataset], planes: Sequence[Mapping[str, Any]]) -> None:
    """Raises DataError that names each missing tag, and in how many of the files or planes."""
    counts = {name: (sum(not _has(header, name) for header in headers), len(headers)) for name in OF_INSTANCE}
    counts |= {name: (sum(name not in plane for plane in planes), len(planes)) for name in OF_PLANE}
    missing = [
        f"{dictionary_description(name)} {Tag(name)}" + (f" in {count} of {total} slices" if count < total else "")
        for name, (count, total) in counts.items()
        if count
    ]
    if missing:
        raise DataError(
            f"{path} lacks what a DICOM segmentation must refer to: {', '.join(missing)}. Export the series again from "
            "its archive (programs that make it anonymous may take these out), " + INSTEAD
        )


def _refuse_several(path: Path, headers: Sequence[Dataset]) -> None:
    """Raises DataError where slices have different studies or places of reference, or two have one identity."""
    for name in ONE_SERIES:
        values = sorted({str(header[name].value) for header in headers})
        if len(values) > 1:
            raise DataError(
                f"{path}: its slices have {len(values)} values of {dictionary_description(name)} {Tag(name)}: "
                f"{some(values)}. Export the series again, " + INSTEAD
            )
    instances = Counter(str(header.SOPInstanceUID) for header in headers)
    twice = [uid for uid, count in instances.items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: several slices have one SOP Instance UID {Tag('SOPInstanceUID')}, so that nobody could tell them "
            f"apart: {some(twice)}. Export the series again, " + INSTEAD
        )


def _slice_at(plane: Mapping[str, Any], grid: Geometry) -> int | None:
    """The slice of the grid where a plane lies; None where it lies elsewhere or another way."""
    rotation = np.array(grid.direction).reshape(3, 3)
    axes = np.array(plane["ImageOrientationPatient"], float).reshape(2, 3)
    if np.abs(axes - rotation[:, :2].T).max() > TURNED:
        return None
    offset = np.array(plane["ImagePositionPatient"], float) - grid.origin
    x, y, z = (rotation.T @ offset) / grid.spacing
    index = round(float(z))
    inside = 0 <= index < grid.size[2] and abs(z - index) <= BESIDE and max(abs(x), abs(y)) <= SHIFTED
    return index if inside else None


def _completed(header: Dataset, plane: Mapping[str, Any], grid: Geometry) -> Dataset:
    """The header with what a SEG takes over from it in one form: whatever may be empty is there, orientation and size
    of the pixels are those of one plane (last digits may differ), and the distance of slices is that of the grid."""
    for name in MAY_BE_EMPTY:
        header.setdefault(name, "")
    where = header
    if "PerFrameFunctionalGroupsSequence" in header:
        shared = header.setdefault("SharedFunctionalGroupsSequence", [Dataset()]).value[0]
        orientation, where = Dataset(), Dataset()
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [where]
        orientation.ImageOrientationPatient = plane["ImageOrientationPatient"]
    else:
        header.ImageOrientationPatient = plane["ImageOrientationPatient"]
    where.PixelSpacing = plane["PixelSpacing"]
    if not where.get("SliceThickness"):
        where.SliceThickness = f"{grid.spacing[2]:.10g}"
    if grid.size[2] > 1:
        where.SpacingBetweenSlices = f"{grid.spacing[2]:.10g}"
    return header
