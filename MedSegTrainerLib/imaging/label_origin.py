"""What is to be told of DICOM labels: that they were made of another series, or have more segments than classes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pydicom

from MedSegTrainerLib.errors import some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.dicom import KIND_NAMES, is_dicom, is_image_class, series_files, storage_class
from MedSegTrainerLib.imaging.dicom_dataset import read_dataset
from MedSegTrainerLib.imaging.dicom_labels import label_file


def other_origin(label: Path, image: Path | None) -> Finding | None:
    """A warning, without its case, where labels say that they are of another series in another frame of reference.

    None where one of both is no DICOM or does not say what it is of.
    """
    found = label_file(label)
    header = None if found is None or image is None else _image_header(image)
    if found is None or header is None:
        return None
    file, kind = found
    sources = kind.sources(file)
    frames = _frames_of_reference(read_dataset(file, pixels=False))
    if not sources or header.get("SeriesInstanceUID") in sources or _frames_of_reference(header) & frames:
        return None
    return Finding(
        severity="warning",
        kind="labels of another series",
        message=f"its labels say that they were made of another series ({sources[0]}), in another frame of reference.",
        remedy="Check that they are of this image: they were put where they say they lie.",
    )


def left_out(label: Path, classes: Collection[str]) -> Finding | None:
    """A note, without its case, on the segments that are none of these classes; None where there are no classes."""
    found = label_file(label) if classes else None
    if found is None:
        return None
    file, kind = found
    known = {name.casefold() for name in classes}
    others = [one.name for one in kind.classes(file) if one.name.casefold() not in known]
    if not others:
        return None
    return Finding(
        severity="note",
        kind="segments that are no classes",
        message=f"its {KIND_NAMES[storage_class(file)]} has segments that are none of the classes, and were left out: "
        f"{some(others)}.",
        remedy="Right where they do not matter; a class under another name must be renamed.",
    )


def _image_header(image: Path) -> pydicom.Dataset | None:
    files = series_files(image) if image.is_dir() else [image] if is_dicom(image) else []
    first = next((file for file in files if is_image_class(storage_class(file))), None)
    return None if first is None else read_dataset(first, pixels=False)


def _frames_of_reference(dataset: pydicom.Dataset) -> set[str]:
    """Those of an image or SEG, or of a structure set."""
    holders = [dataset, *(dataset.get("ReferencedFrameOfReferenceSequence") or [])]
    return {str(one.FrameOfReferenceUID) for one in holders if one.get("FrameOfReferenceUID")}
