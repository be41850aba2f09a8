"""The labels of a case, read from its files: the one place that knows what of them is labelled."""

from __future__ import annotations

import SimpleITK as sitk

from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.imaging import label_source
from MedSegTrainerLib.imaging.label_grid import Placed


def read_labels(case: Case, ignore_label: int | None) -> sitk.Image:
    """The label map of a case on its own grid, as ``label_source.read_labels`` gives it; ``ignore_label`` where nobody
    labelled.

    Raises DataError.
    """
    return label_source.read_labels(case.labels)


def place_labels(case: Case, grid: sitk.Image, ignore_label: int | None) -> Placed:
    """``read_labels`` on the grid of the case's image where it belongs there, and what had to be done for it."""
    return label_source.place_labels(case.labels, grid, case.images[0])


def read_labels_onto(case: Case, grid: sitk.Image, ignore_label: int | None) -> sitk.Image:
    """``read_labels`` on the grid of the case's image where it belongs there."""
    return place_labels(case, grid, ignore_label).image
