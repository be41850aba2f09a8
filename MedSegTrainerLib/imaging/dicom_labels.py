"""Label objects of DICOM and what reads each: a segmentation (SEG) or a structure set (RTSTRUCT), as a file or alone in
a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.dicom import STORAGE, is_dicom, is_image_class, read_series, series_files, storage_class
from MedSegTrainerLib.imaging.dicom_index import index_dicom
from MedSegTrainerLib.imaging.dicom_rtstruct import (
    read_structures,
    several_structures,
    source_series,
    structure_classes,
)
from MedSegTrainerLib.imaging.dicom_seg import may_overlap, read_seg, seg_classes, segmented_series
from MedSegTrainerLib.imaging.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class LabelKind:
    """How one kind of object is read. classes: its segments, from its header. may_overlap: whether they can have voxels
    in common. sources: UIDs of the series that are labelled. read: an image as a ``.seg.nrrd`` is one, fit for a grid
    where one is given, with the segments of these names, or all without any. has_grid: whether it says itself which
    voxels there are."""

    classes: Callable[[Path], list[LabelClass]]
    may_overlap: Callable[[Path], bool]
    sources: Callable[[Path], list[str]]
    read: Callable[[Path, Geometry | None, Collection[str]], sitk.Image]
    has_grid: bool = True


def _read_structures(path: Path, grid: Geometry | None, names: Collection[str]) -> sitk.Image:
    return read_structures(path, Geometry.of(read_series(_series_folder(path))) if grid is None else grid, names)


SEG = LabelKind(classes=seg_classes, may_overlap=may_overlap, sources=segmented_series, read=read_seg)
STRUCTURES = LabelKind(
    classes=structure_classes, may_overlap=several_structures, sources=source_series, read=_read_structures,
    has_grid=False,
)  # fmt: skip
# SOP classes (PS3.6, annex A)
LABEL_KINDS = {STORAGE + "66.4": SEG, STORAGE + "66.7": SEG, STORAGE + "481.3": STRUCTURES}


def label_file(path: Path) -> tuple[Path, LabelKind] | None:
    """The object with labels that a file is, or that lies alone in a folder, and how it is read; None for others.

    Raises DataError for a folder with several.
    """
    found = _label_files(path)
    if len(found) > 1:
        names = some([file.name for file in found])
        raise DataError(f"{path} holds several DICOM segmentations: {names}. Give the one to take, or keep it alone.")
    return next(iter(found.items()), None)


def is_label_object(path: Path) -> bool:
    """Whether a path is a SEG or RTSTRUCT, or a folder of DICOM with such objects and no images."""
    return bool(_label_files(path))


def _label_files(path: Path) -> dict[Path, LabelKind]:
    files = series_files(path) if path.is_dir() else [path] if is_dicom(path) else []
    classes = {file: storage_class(file) for file in files}
    if any(is_image_class(name) for name in classes.values()):
        return {}
    return {file: LABEL_KINDS[name] for file, name in classes.items() if name in LABEL_KINDS}


def lacks_grid(path: Path) -> bool:
    """Whether a path holds labels that become voxels on the grid of their image alone."""
    found = label_file(path)
    return found is not None and not found[1].has_grid


def _series_folder(path: Path) -> Path:
    """The folder, near a structure set, with the series that it was drawn in."""
    wanted = source_series(path)
    for folder in (path.parent, path.parent.parent):
        series = index_dicom(folder).series
        found = next((series[uid] for uid in wanted if uid in series), None)
        if found is not None:
            return found
    raise DataError(
        f"{path}: the series that its contours were drawn in ({some(wanted) or 'it names none'}) does not lie beside "
        "it. Put the folder with the slices there."
    )
