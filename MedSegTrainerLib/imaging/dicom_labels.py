"""Label objects of DICOM and what reads each: a segmentation (SEG) or a structure set (RTSTRUCT), as a file or alone in
a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.dicom import STORAGE, is_dicom, is_image_class, series_files, storage_class
from MedSegTrainerLib.imaging.dicom_seg import may_overlap, read_seg, seg_classes
from MedSegTrainerLib.imaging.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class LabelKind:
    """How one kind of object is read. classes: its segments, from its header. may_overlap: whether they can have voxels
    in common. read: an image as a ``.seg.nrrd`` is one, fit for a grid where one is given."""

    classes: Callable[[Path], list[LabelClass]]
    may_overlap: Callable[[Path], bool]
    read: Callable[[Path, Geometry | None], sitk.Image]


SEG = LabelKind(classes=seg_classes, may_overlap=may_overlap, read=read_seg)
LABEL_KINDS = {STORAGE + "66.4": SEG, STORAGE + "66.7": SEG}  # SOP classes (PS3.6, annex A)


def label_file(path: Path) -> tuple[Path, LabelKind] | None:
    """The object with labels that a file is, or that lies alone in a folder, and how it is read; None for others.

    Raises DataError for a folder with several.
    """
    if not path.is_dir():
        kind = LABEL_KINDS.get(storage_class(path)) if is_dicom(path) else None
        return None if kind is None else (path, kind)
    classes = {file: storage_class(file) for file in series_files(path)}
    found = [file for file, name in classes.items() if name in LABEL_KINDS]
    if not found or any(is_image_class(name) for name in classes.values()):
        return None
    if len(found) > 1:
        names = some([file.name for file in found])
        raise DataError(f"{path} holds several DICOM segmentations: {names}. Give the one to take, or keep it alone.")
    return found[0], LABEL_KINDS[classes[found[0]]]


def is_label_object(path: Path) -> bool:
    """Whether a path is a SEG or RTSTRUCT, or a folder with one alone."""
    return label_file(path) is not None
