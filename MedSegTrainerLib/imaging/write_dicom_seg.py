"""DICOM segmentations (SEG): label maps as objects of an archive that refer to the slices they were made of.

A class is a segment with its label, colour and codes. BINARY has a frame for each slice of each segment, so that they
may overlap, and is what most programs read; LABELMAP (supplement 243) has one frame a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import highdicom
import numpy as np
import SimpleITK as sitk
from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.class_bits import has_class
from MedSegTrainerLib.imaging.dicom_dataset import without_warnings
from MedSegTrainerLib.imaging.segment_codes import Code, segment_codes
from MedSegTrainerLib.imaging.source_planes import SourcePlanes

SegmentationType = Literal["BINARY", "LABELMAP"]
PRODUCT = "MedSegTrainer"
SERIES_NUMBER = 300  # behind those of scanners, as 3D Slicer does it
LONGEST_TEXT = 64  # LO of PS3.5, table 6.2-1
MOST_SEGMENTS = 65535
UTF_8 = "ISO_IR 192"
SOURCE_LACKS = (ValueError, TypeError, KeyError, AttributeError)  # how highdicom says it


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Who made the segments: the name of a model with the version of what ran it, and whether somebody corrected it."""

    name: str
    version: str = __version__
    way: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC"


BY_HAND = Maker(name="drawn by hand", way="MANUAL")


def write_dicom_seg(
    labels: sitk.Image,
    path: Path,
    classes: Sequence[LabelClass],
    source: SourcePlanes,
    maker: Maker,
    *,
    kind: SegmentationType = "BINARY",
    overlapping: bool = False,
) -> None:
    """Writes a label map, or ``class_bits`` where classes overlap, at once; ``source`` is that of its grid.

    In BINARY the classes are numbered from 1 in their order, in LABELMAP by their values. Raises DataError for classes
    or sources that the format has no room for, StorageError.
    """
    refuse_unwritable(classes, kind, overlapping=overlapping)
    numbers = segment_numbers(classes, kind)
    array = sitk.GetArrayViewFromImage(labels)[list(source.slices)]
    pixels = _stacked(array, classes) if overlapping else _renumbered(array, classes, numbers)
    segments = [_description(item, numbers[item.value], maker) for item in classes]
    try:
        with without_warnings():
            segmentation = _segmentation(pixels, segments, source, maker, kind)
    except SOURCE_LACKS as error:
        first = source.instances[0]
        unknown = isinstance(error, KeyError)
        reason = f"SOP Class UID (0008,0016) {first.get('SOPClassUID')} is no kind of image" if unknown else error
        raise DataError(
            f"No DICOM segmentation of the series {first.get('SeriesInstanceUID')} can be made: {reason}. Write "
            "another format, such as seg.nrrd or nii.gz."
        ) from None
    segmentation.ContentCreatorName = ""  # of type 2: must be there, and a program has none
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with without_warnings():
        atomic.write_with(path, lambda stream: segmentation.save_as(stream, enforce_file_format=True))


def _segmentation(
    pixels: np.ndarray,
    segments: Sequence[SegmentDescription],
    source: SourcePlanes,
    maker: Maker,
    kind: SegmentationType,
) -> Segmentation:
    return Segmentation(
        source_images=source.instances,
        further_source_images=source.further or None,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        series_description=_text(f"Segmentation: {maker.name}"),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=PRODUCT,
        manufacturer_model_name=PRODUCT,
        software_versions=__version__,
        device_serial_number=_text(maker.name),  # a trained model is the device
        content_label="SEGMENTATION",
        specific_character_set=UTF_8,
        transfer_syntax_uid=ExplicitVRLittleEndian if kind == "BINARY" else RLELossless,
        omit_empty_frames=bool(pixels.any()),
    )


def refuse_unwritable(classes: Sequence[LabelClass], kind: SegmentationType, *, overlapping: bool) -> None:
    """Raises DataError, before anything was segmented, where the classes have no place in such a file."""
    if overlapping and kind == "LABELMAP":
        raise DataError(
            "The classes overlap, and a LABELMAP segmentation has one class a voxel. Write BINARY (dicom-seg)."
        )
    bad = [item.name for item in classes if len(item.name) > LONGEST_TEXT or "\\" in item.name]
    if bad:
        raise DataError(
            f"A segment's label in DICOM has at most {LONGEST_TEXT} letters and no backslash, and classes are called "
            f"{some(bad)}. Write another format, such as seg.nrrd, or rename them."
        )
    beyond = [str(one) for one in segment_numbers(classes, kind).values() if not 1 <= one <= MOST_SEGMENTS]
    if beyond:
        raise DataError(
            f"A segment's number in DICOM is 1 to {MOST_SEGMENTS}, and classes have the values {some(beyond)}. "
            "Write BINARY (dicom-seg), which numbers them anew."
        )


def segment_numbers(classes: Sequence[LabelClass], kind: SegmentationType) -> dict[int, int]:
    """The number of each class's segment, by its value: BINARY needs 1, 2, 3, ..."""
    return {item.value: item.value if kind == "LABELMAP" else index for index, item in enumerate(classes, start=1)}


def _stacked(bits: np.ndarray, classes: Sequence[LabelClass]) -> np.ndarray:
    """(planes, y, x, classes) of 0 and 1."""
    return np.stack([has_class(bits, item.value) for item in classes], axis=-1).astype(np.uint8)


def _renumbered(array: np.ndarray, classes: Sequence[LabelClass], numbers: dict[int, int]) -> np.ndarray:
    """(planes, y, x) of segment numbers, 0 for what is no class."""
    largest = max(numbers.values())
    result = np.zeros(array.shape, np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16)
    for item in classes:
        result[array == item.value] = numbers[item.value]
    return result


def _description(item: LabelClass, number: int, maker: Maker) -> SegmentDescription:
    meaning = segment_codes(item.terminology)
    algorithm = AlgorithmIdentificationSequence(
        name=_text(maker.name),
        family=codes.cid7162.ArtificialIntelligence,
        version=maker.version,
        source=PRODUCT,
    )
    segment = SegmentDescription(
        segment_number=number,
        segment_label=item.name,
        segmented_property_category=_concept(meaning.category),
        segmented_property_type=_concept(meaning.type),
        algorithm_type=maker.way,
        algorithm_identification=None if maker.way == "MANUAL" else algorithm,
        anatomic_regions=None if meaning.region is None else [_concept(meaning.region)],
        display_color=CIELabColor.from_rgb(*item.color),
    )
    if meaning.type_modifier is not None:
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(meaning.type_modifier)]
    if meaning.region_modifier is not None:
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_concept(meaning.region_modifier)]
    return segment


def _text(name: str) -> str:
    """A name as a text of DICOM, which a backslash would divide."""
    plain = "".join(sign if sign.isprintable() and sign != "\\" else " " for sign in name)
    return plain[:LONGEST_TEXT].strip() or "model"


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)
