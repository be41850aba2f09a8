"""Labels that somebody drew or corrected, in a file of any format, as a DICOM segmentation of the series below them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass, classes_from_values
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.imaging.class_bits import MOST_CLASSES
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_components import component_count
from MedSegTrainerLib.imaging.label_source import LabelSource, place_labels
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.segment_headers import read_header
from MedSegTrainerLib.imaging.source_planes import source_planes
from MedSegTrainerLib.imaging.write_dicom_seg import Maker, SegmentationType, write_dicom_seg


def write_segmentation(
    labels: Path, series: Path, output: Path, maker: Maker, *, kind: SegmentationType = "BINARY"
) -> list[LabelClass]:
    """Writes the segments of a label file, on the grid of the series (its folder, or a file with all frames); those it
    has, by the numbers that they have in it.

    A file without names gets "label 1", "label 2", ... Raises UsageError where ``output`` is there, or no ``.dcm``
    file; DataError where the labels do not lie on slices of the series, or it is none that a SEG can refer to.
    """
    if output.suffix.lower() != ".dcm":
        raise UsageError(f"{output} does not end in .dcm, as files of DICOM do. Name it {output.name}.seg.dcm.")
    if output.exists():
        raise UsageError(f"{output} exists already. Choose another name, or remove it.")
    image = read_file(series)
    planes = source_planes(series, Geometry.of(image))
    classes = [segment.item for segment in read_header(labels)]
    overlapping = component_count(labels) > 1
    if overlapping:
        classes = _numbered(classes, labels)
    numbers = {item.name: item.value for item in classes}
    placed = place_labels(LabelSource(path=labels, numbers=numbers, overlapping=overlapping), image, series).image
    problems = Geometry.of(placed).disagreements(Geometry.of(image))
    if problems:
        raise DataError(
            f"{labels} does not lie on the slices of {series}: {'; '.join(problems)}. Give the series that it was "
            "drawn on, or resample it to that."
        )
    classes = classes or classes_from_values(np.unique(sitk.GetArrayViewFromImage(placed)).tolist(), {})
    if not classes:
        raise DataError(f"{labels} has no labels: nothing would be in the segmentation. Draw something first.")
    write_dicom_seg(placed, output, classes, planes, maker, kind=kind, overlapping=overlapping)
    return classes


def _numbered(classes: list[LabelClass], labels: Path) -> list[LabelClass]:
    """Classes that overlap, numbered from 1 in their order; channels without names are called by their numbers."""
    count = component_count(labels)
    classes = classes or classes_from_values(range(count + 1), {})
    if len(classes) > MOST_CLASSES:
        raise DataError(f"{labels} has {len(classes)} segments that may overlap; at most {MOST_CLASSES} are written.")
    return [replace(item, value=number) for number, item in enumerate(classes, start=1)]
