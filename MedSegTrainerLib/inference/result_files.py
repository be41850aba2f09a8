"""The label map of a prediction as a file, and read again: of classes that exclude each other, or overlap."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.imaging.label_maps import read_label_map, write_label_map
from MedSegTrainerLib.imaging.label_source import LabelSource, read_labels
from MedSegTrainerLib.imaging.overlapping_results import write_overlapping
from MedSegTrainerLib.imaging.source_planes import SourcePlanes
from MedSegTrainerLib.imaging.write_dicom_seg import Maker, SegmentationType, write_dicom_seg


def write_result(labels: sitk.Image, path: Path, plan: Plan, like: Path | None = None) -> None:
    """Writes label values, or where the classes of the plan overlap their ``class_bits``; ``like`` is that of
    ``write_volume``. Raises DataError for formats that cannot hold them."""
    if plan.overlapping:
        write_overlapping(labels, path, plan.classes, like)
    else:
        write_label_map(labels, path, plan.classes, like)


def write_dicom_result(
    labels: sitk.Image, path: Path, plan: Plan, source: SourcePlanes, maker: Maker, kind: SegmentationType
) -> None:
    """Writes the same as a DICOM segmentation that refers to the planes of its image."""
    write_dicom_seg(labels, path, plan.classes, source, maker, kind=kind, overlapping=plan.overlapping)


def read_result(path: Path, plan: Plan) -> sitk.Image:
    """What ``write_result`` wrote; raises DataError."""
    return read_labels(result_source(path, plan)) if plan.overlapping else read_label_map(path)


def result_source(path: Path, plan: Plan) -> LabelSource:
    """Where the label map of a prediction is, and what its numbers mean."""
    return LabelSource(
        path=path, numbers={item.name: item.value for item in plan.classes}, overlapping=plan.overlapping
    )
