"""The labels of a case, read from its files: the one place that knows what of them is labelled."""

from __future__ import annotations

import SimpleITK as sitk

from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.imaging.label_grid import Placed
from MedSegTrainerLib.imaging.label_maps import place_label_map, read_label_map


def read_labels(case: Case, ignore_label: int | None) -> sitk.Image:
    """The label map of a case on its own grid, as ``read_label_map`` gives it; ``ignore_label`` where nobody labelled.

    Raises DataError.
    """
    return read_label_map(case.label, case.segment_values)


def place_labels(case: Case, grid: sitk.Image, ignore_label: int | None) -> Placed:
    """``read_labels`` on the grid of the case's image where it belongs there, and what had to be done for it."""
    return place_label_map(case.label, grid, case.segment_values, case.images[0])


def read_labels_onto(case: Case, grid: sitk.Image, ignore_label: int | None) -> sitk.Image:
    """``read_labels`` on the grid of the case's image where it belongs there."""
    return place_labels(case, grid, ignore_label).image
