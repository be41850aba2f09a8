"""DICOM segmentations (SEG): frames of segments, in any order and only where something is, as labels in layers.

BINARY frames are masks, those of a LABELMAP hold the numbers of segments, and of FRACTIONAL ones a voxel belongs to a
segment where at least half of it does (PS3.3, A.51 and C.8.20).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from highdicom.color import CIELabColor
from pydicom.pixels import iter_pixels

from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.dicom_dataset import FunctionalGroups, read_dataset, read_in_words
from MedSegTrainerLib.imaging.frame_stack import FrameStack, stack_frames
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.segment_layers import Slab, layered_image, only_named
from MedSegTrainerLib.imaging.size_limits import refuse_beyond_memory
from MedSegTrainerLib.imaging.terminology_text import code_meaning, terminology_text

TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")
BACKGROUND = ("DCM", "125040")  # the code of a segment that is none (PS3.16, CID 7150)
SLIDE = "is a segmentation of a slide under a microscope, whose tiles are no slices of a volume. Give tiles as images."


def seg_classes(path: Path) -> list[LabelClass]:
    """The segments that a SEG names, background not among them, by the numbers that they have in it.

    Raises DataError where it is damaged, or has no segments.
    """
    dataset = read_dataset(path, pixels=False)
    with read_in_words(path):
        return _classes(dataset)


def may_overlap(path: Path) -> bool:
    """Whether segments of a SEG may have voxels in common, by its header."""
    dataset = read_dataset(path, pixels=False)
    with read_in_words(path):
        apart = dataset.get("SegmentsOverlap") == "NO" or dataset.get("SegmentationType") == "LABELMAP"
        return not apart and len(_classes(dataset)) > 1


def segmented_series(path: Path) -> list[str]:
    """The UIDs of the series that a SEG, by what stands in it, was made of."""
    dataset = read_dataset(path, pixels=False)
    with read_in_words(path):
        return [str(one.SeriesInstanceUID) for one in dataset.get("ReferencedSeriesSequence") or []]


def read_seg(path: Path, grid: Geometry | None = None, names: Collection[str] = ()) -> sitk.Image:
    """Labels in as few layers as overlap needs, with the fields of a ``.seg.nrrd`` that name them.

    It lies on a grid of its own, from the first to the last slice that has a frame, with the distance between slices
    of ``grid`` where the frames fit on it. names: the segments to read, whatever letters are large; all where empty.
    Raises DataError where it is damaged, is of a slide, or its frames lie on no grid.
    """
    dataset = read_dataset(path)
    with read_in_words(path):
        classes = only_named(_classes(dataset), names)
        kind = str(dataset.get("SegmentationType"))
        if kind not in TYPES:
            raise DataError(f"{path} is a segmentation of type {kind}, and {some(TYPES)} are read. Export it as one.")
        stack = _stack(dataset, path, grid)
        refuse_beyond_memory(path, math.prod(stack.grid.size), " x ".join(map(str, stack.grid.size)) + " voxels")
        slabs = _labelmap_slabs if kind == "LABELMAP" else _segment_slabs
        return layered_image(stack.grid, classes, slabs(dataset, stack, [one.value for one in classes], path))


def _classes(dataset: pydicom.Dataset) -> list[LabelClass]:
    found = [(int(item.SegmentNumber), item) for item in dataset.get("SegmentSequence") or []]
    if not found:
        raise ValueError("it has no segments")
    return [_label_class(number, item) for number, item in found if number > 0 and not _is_background(item)]


def _label_class(number: int, item: Any) -> LabelClass:
    texts = (item.get("SegmentLabel"), item.get("SegmentDescription"), code_meaning(item), f"label {number}")
    color = item.get("RecommendedDisplayCIELabValue")
    rgb = CIELabColor.from_dicom_value(color).to_rgb(clip=True) if color else default_color(number - 1)
    return LabelClass(
        value=number,
        name=next(str(text).strip() for text in texts if str(text or "").strip()),
        color=(int(rgb[0]), int(rgb[1]), int(rgb[2])),
        terminology=terminology_text(item),
    )


def _is_background(item: Any) -> bool:
    kind: Any = next(iter(item.get("SegmentedPropertyTypeCodeSequence") or []), {})
    return (kind.get("CodingSchemeDesignator"), kind.get("CodeValue")) == BACKGROUND


def _stack(dataset: pydicom.Dataset, path: Path, grid: Geometry | None) -> FrameStack:
    if "TotalPixelMatrixRows" in dataset or "TILED" in str(dataset.get("DimensionOrganizationType")):
        raise DataError(f"{path} {SLIDE}")
    return stack_frames(dataset, path, grid)


def _segment_slabs(dataset: pydicom.Dataset, stack: FrameStack, numbers: Sequence[int], path: Path) -> Iterator[Slab]:
    """Frames of one segment each, in the order of the segments."""
    frames_of: dict[int, list[int]] = {number: [] for number in numbers}
    known = {int(item.SegmentNumber) for item in dataset.SegmentSequence}
    groups = FunctionalGroups(dataset)
    for frame in range(len(stack.slices)):
        number = groups.item(frame, "SegmentIdentificationSequence").get("ReferencedSegmentNumber")
        if number in frames_of:
            frames_of[number].append(frame)
        elif number not in known:
            raise DataError(
                f"{path}: frame {frame + 1} is of segment {number}, which it does not name. Export it again."
            )
    largest = 1 if dataset.SegmentationType == "BINARY" else int(dataset.MaximumFractionalValue)
    order = [frame for frames in frames_of.values() for frame in frames]
    owner = {frame: number for number, frames in frames_of.items() for frame in frames}
    for frame, pixels in zip(order, _pixels(dataset, order), strict=True):
        place = stack.slices[frame]
        yield owner[frame], (slice(place, place + 1),), (2 * pixels.astype(int) >= largest)[None]


def _labelmap_slabs(dataset: pydicom.Dataset, stack: FrameStack, numbers: Sequence[int], path: Path) -> Iterator[Slab]:
    values = np.zeros(stack.grid.size_zyx, np.uint16)
    order = list(range(len(stack.slices)))
    for frame, pixels in zip(order, _pixels(dataset, order), strict=True):
        values[stack.slices[frame]] = pixels
    for number in numbers:
        yield number, (), values == number


def _pixels(dataset: pydicom.Dataset, order: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames (rows, columns) in this order; of those of a bit a voxel the next one begins in the midst of a byte."""
    shape = int(dataset.Rows), int(dataset.Columns)
    if not order:
        return
    if dataset.BitsAllocated != 1 or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(dataset, indices=list(order))
        return
    count, packed = shape[0] * shape[1], np.frombuffer(dataset.PixelData, np.uint8)
    if packed.size * 8 < count * (max(order) + 1):
        raise ValueError(f"its pixel data end before frame {max(order) + 1}")
    for frame in order:
        first, skipped = divmod(frame * count, 8)
        last = (frame * count + count + 7) // 8
        yield np.unpackbits(packed[first:last], bitorder="little")[skipped : skipped + count].reshape(shape)
