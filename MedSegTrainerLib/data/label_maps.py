"""Label map files: read as integers on a 3D grid, written with the classes' names and colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.images import as_volume, read_file
from MedSegTrainerLib.errors import DataError, StorageError

INTEGER_TYPES = {
    sitk.sitkUInt8, sitk.sitkInt8, sitk.sitkUInt16, sitk.sitkInt16,
    sitk.sitkUInt32, sitk.sitkInt32, sitk.sitkUInt64, sitk.sitkInt64,
}  # fmt: skip
INT32 = np.iinfo(np.int32)


def read_label_map(path: Path) -> sitk.Image:
    """A 3D image of int32 label values.

    Whole numbers stored as floats are accepted. Raises DataError for other values, several
    components, or values beyond 32 bits.
    """
    image = as_volume(read_file(path))
    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() != 3:
        raise DataError(
            f"{path} has several layers or a fourth axis, and a label map needs one number a voxel. "
            "Export the segments as one label map without overlap."
        )
    if image.GetPixelID() not in INTEGER_TYPES:
        values = sitk.GetArrayViewFromImage(image)
        wrong = values[~np.isfinite(values) | (values != np.round(values))]
        if wrong.size:
            raise DataError(
                f"{path} is no label map: {wrong.size} voxels are not whole numbers (the first is {wrong[0]:g}). "
                "Is it an image or a probability map? Give the label map, whole numbers with 0 as background."
            )
    values = sitk.GetArrayViewFromImage(image)
    if values.min() < INT32.min or values.max() > INT32.max:
        raise DataError(f"{path} has label values beyond 32 bits. Renumber the classes.")
    return sitk.Cast(image, sitk.sitkInt32)


def write_label_map(labels: sitk.Image, path: Path, classes: Sequence[LabelClass]) -> None:
    """Writes an integer image at once, in the smallest type that holds it.

    ``.nrrd`` files get the ``Segment*`` fields by which 3D Slicer shows names and colours.
    """
    image = sitk.Cast(labels, _smallest_type(labels, classes))
    if path.name.lower().endswith(".nrrd"):
        for key, value in _segment_fields(image, classes).items():
            image.SetMetaData(key, value)
    temporary = atomic.temporary_beside(path)
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            _read_again(temporary, image)
            atomic.replace(temporary, path)
        except RuntimeError as error:
            raise StorageError(
                f"Cannot write {path}: {str(error).splitlines()[-1].strip()}. "
                "See that the disk has room, or choose another folder."
            ) from None
        finally:
            temporary.unlink(missing_ok=True)


def read_classes(image: sitk.Image) -> list[LabelClass]:
    """Classes named in the ``Segment*`` fields of an image that was read from a ``.seg.nrrd``; [] without them."""
    classes = []
    for key in image.GetMetaDataKeys():
        match = re.fullmatch(r"(Segment\d+_)LabelValue", key)
        if not match:
            continue
        value = int(image.GetMetaData(key))
        name = _field(image, match[1] + "Name") or f"label {value}"
        red, green, blue = (round(255 * float(part)) for part in _field(image, match[1] + "Color", "1 1 0").split())
        tags = _field(image, match[1] + "Tags")
        terminology = next((t.partition(":")[2] for t in tags.split("|") if t.startswith("TerminologyEntry:")), "")
        classes.append(LabelClass(value=value, name=name, color=(red, green, blue), terminology=terminology))
    return sorted(classes, key=lambda item: item.value)


def _read_again(path: Path, image: sitk.Image) -> None:
    """Raises RuntimeError unless the file holds the image: on a full disk ITK can write half of it without a word."""
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    if not np.array_equal(written.ravel(), sitk.GetArrayViewFromImage(image).ravel()):
        raise RuntimeError("the file came out incomplete")


def _field(image: sitk.Image, key: str, default: str = "") -> str:
    return image.GetMetaData(key) if image.HasMetaDataKey(key) else default


def _smallest_type(labels: sitk.Image, classes: Sequence[LabelClass]) -> int:
    values = sitk.GetArrayViewFromImage(labels)
    named = [item.value for item in classes]
    low, high = min([int(values.min()), *named]), max([int(values.max()), *named])
    if low >= 0 and high <= 255:
        return sitk.sitkUInt8
    return sitk.sitkInt16 if low >= -(2**15) and high < 2**15 else sitk.sitkInt32


def _segment_fields(image: sitk.Image, classes: Sequence[LabelClass]) -> dict[str, str]:
    """The fields of Slicer's segmentation files (vtkMRMLSegmentationStorageNode), one layer for all segments."""
    extent = " ".join(f"0 {size - 1}" for size in image.GetSize())
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_SourceRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for index, item in enumerate(classes):
        tags = f"TerminologyEntry:{item.terminology}|" if item.terminology else ""
        fields |= {
            f"Segment{index}_ID": f"Segment_{item.value}",
            f"Segment{index}_Name": item.name,
            f"Segment{index}_NameAutoGenerated": "0",
            f"Segment{index}_Color": " ".join(f"{part / 255:.6f}" for part in item.color),
            f"Segment{index}_ColorAutoGenerated": "0",
            f"Segment{index}_LabelValue": str(item.value),
            f"Segment{index}_Layer": "0",
            f"Segment{index}_Extent": extent,
            f"Segment{index}_Tags": tags,
        }
    return fields
