"""The labels of a case, read from its files: the one place that knows what of them is labelled."""

from __future__ import annotations

from dataclasses import replace

import SimpleITK as sitk

from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.imaging import label_source as imaging
from MedSegTrainerLib.imaging.label_grid import Placed
from MedSegTrainerLib.imaging.label_source import LabelSource


def label_source(case: Case, ignore_label: int | None) -> LabelSource:
    """Where the labels of a case are, and what is known of them; ignore_label: the data set's value of voxels that
    nobody labelled, in what is read."""
    source = case.labels
    return replace(source, ignored_value=ignore_label) if source.is_plain and ignore_label is not None else source


def label_form(case: Case, ignore_label: int | None) -> LabelSource | None:
    """``label_source`` for an evaluation, which needs none where the file of the label map alone says all."""
    source = label_source(case, ignore_label)
    return None if source.is_whole_map else source


def read_labels(case: Case, ignore_label: int | None) -> sitk.Image:
    """The label map of a case on its own grid, as ``label_source.read_labels`` gives it; ``ignore_label`` where nobody
    labelled: beside what the files say also outside ``labelled_slices`` and ``labelled_box``.

    Raises DataError.
    """
    return imaging.read_labels(label_source(case, ignore_label))


def place_labels(case: Case, grid: sitk.Image, ignore_label: int | None) -> Placed:
    """``read_labels`` on the grid of the case's image where it belongs there, and what had to be done for it."""
    return imaging.place_labels(label_source(case, ignore_label), grid, case.images[0])


def read_labels_onto(case: Case, grid: sitk.Image, ignore_label: int | None) -> sitk.Image:
    """``read_labels`` on the grid of the case's image where it belongs there."""
    return place_labels(case, grid, ignore_label).image
