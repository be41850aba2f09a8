"""Named segments of ``.seg.nrrd`` files, as 3D Slicer writes them: what each voxel of a layer means.

A class is found by its segment's name: the numbers behind the names may differ from case to case, and from layer to
layer. Segments that overlap lie in layers of their own (components of a voxel); a label map cannot hold those.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, some


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A structure of one file: the voxels of ``layer`` that have its value. ``item.value`` is what a label map of the
    whole file has there: the value itself, or where layers use one twice, the place in the file, from 1."""

    item: LabelClass
    layer: int
    stored: int


def read_segments(fields: Mapping[str, str], layers: int) -> list[Segment]:
    """The segments that the ``Segment*`` fields of a file with so many layers name, in their order; [] without any.

    3D Slicer before 4.11 wrote neither values nor layers: each segment has a layer of its own, and the value 1 there.
    Raises ValueError where a number or color is none.
    """
    segments = []
    matches = [re.fullmatch(r"Segment(\d+)_(?:ID|Name|LabelValue)", key) for key in fields]
    numbers = sorted({int(match[1]) for match in matches if match})
    if len(numbers) > layers:  # not those of an old Slicer
        numbers = [number for number in numbers if f"Segment{number}_LabelValue" in fields]
    for position, number in enumerate(numbers):
        prefix = f"Segment{number}_"
        value = int(fields.get(prefix + "LabelValue", "1"))
        red, green, blue = (round(255 * float(part)) for part in fields.get(prefix + "Color", "1 1 0").split())
        tags = fields.get(prefix + "Tags", "").split("|")
        terminology = next((t.partition(":")[2] for t in tags if t.startswith("TerminologyEntry:")), "")
        item = LabelClass(
            value=value, name=fields.get(prefix + "Name", "").strip() or f"label {value}",
            color=(red, green, blue), terminology=terminology,
        )  # fmt: skip
        layer = "0" if prefix + "LabelValue" in fields else str(position)
        segments.append(Segment(item=item, layer=int(fields.get(prefix + "Layer", layer)), stored=value))
    if len({segment.stored for segment in segments}) < len(segments):
        segments = [replace(one, item=replace(one.item, value=index)) for index, one in enumerate(segments, start=1)]
    return segments


def to_label_map(image: sitk.Image, segments: Sequence[Segment], values: Mapping[str, int], path: Path) -> sitk.Image:
    """One layer of int32 in which each segment has the value of its name in ``values``, any others beyond those.

    Where none of the names is known, the segments keep their own values. Voxels of no segment are 0. Raises
    DataError where segments overlap, or two have one name.
    """
    layers = image.GetNumberOfComponentsPerPixel()
    value_of = _segment_values(segments, values)
    if layers == 1 and (not values or all(value_of[one.item.name] == one.stored for one in segments)):
        return image
    refuse_equal_names(segments, path)
    array = sitk.GetArrayViewFromImage(image)
    array = array[..., None] if layers == 1 else array
    labels = np.zeros(array.shape[:-1], np.int32)
    owner = np.zeros(array.shape[:-1], np.int32)
    for index, one in enumerate(segments, start=1):
        if one.layer >= layers:
            raise DataError(f"{path}: segment '{one.item.name}' lies in layer {one.layer} of {layers}. Save it again.")
        inside = array[..., one.layer] == one.stored
        covered = owner[inside]
        if covered.any():
            other = segments[int(covered[covered > 0][0]) - 1]
            raise DataError(
                f"{path}: segments '{other.item.name}' and '{one.item.name}' overlap in {int((covered > 0).sum())} "
                "voxels, and a voxel can have one class only. Take one from the other in 3D Slicer (Logical "
                "operators: Subtract), or export the one you need."
            )
        owner[inside] = index
        labels[inside] = value_of[one.item.name]
    result = sitk.GetImageFromArray(labels)
    result.CopyInformation(image)
    return result


def segment_fields(
    size: Sequence[int], classes: Sequence[LabelClass], layer_of: Mapping[int, int] | None = None
) -> dict[str, str]:
    """The fields of Slicer's segmentation files (vtkMRMLSegmentationStorageNode) for an image of this size (x, y, z).

    layer_of: the layer of each class, by its value; without it all lie in one.
    """
    extent = " ".join(f"0 {length - 1}" for length in size)
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
            f"Segment{index}_Layer": str((layer_of or {}).get(item.value, 0)),
            f"Segment{index}_Extent": extent,
            f"Segment{index}_Tags": tags,
        }
    return fields


def text_fields(image: sitk.Image | sitk.ImageFileReader) -> dict[str, str]:
    """The fields of a header that are text; bytes that are no UTF-8, as old programs wrote umlauts, are Latin-1."""
    fields = {key: str(image.GetMetaData(key)) for key in map(str, image.GetMetaDataKeys()) if key.isascii()}  # type: ignore[no-untyped-call]
    return {key: value if _is_text(value) else _as_latin(value) for key, value in fields.items()}


def read_header(path: Path) -> list[Segment]:
    """The segments of a label map, from the header alone; [] for files that name none, or cannot be read."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")) or not path.is_file():
        return []
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        return read_segments(text_fields(reader), reader.GetNumberOfComponents())
    except (RuntimeError, ValueError):  # reading the label map says what is wrong
        return []


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _as_latin(value: str) -> str:
    return value.encode(errors="surrogateescape").decode("latin-1")


def refuse_equal_names(segments: Sequence[Segment], path: Path) -> None:
    """Raises DataError where two segments have one name."""
    count = Counter(one.item.name.casefold() for one in segments)
    twice = sorted({one.item.name for one in segments if count[one.item.name.casefold()] > 1})
    if twice:
        raise DataError(
            f"{path} has several segments named {some(twice)}. Rename or merge them, for instance in 3D Slicer."
        )


def _segment_values(segments: Sequence[Segment], values: Mapping[str, int]) -> dict[str, int]:
    """Segment name to the value it gets in the label map."""
    by_name = {name.casefold(): value for name, value in values.items()}
    value_of = {one.item.name: by_name.get(one.item.name.casefold()) for one in segments}
    if not any(value is not None for value in value_of.values()):
        return {one.item.name: one.item.value for one in segments}
    free = max(by_name.values()) + 1
    for name in [name for name, value in value_of.items() if value is None]:
        value_of[name] = free
        free += 1
    return {name: value for name, value in value_of.items() if value is not None}
