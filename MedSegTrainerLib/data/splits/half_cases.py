"""One case as two: each with the whole image, and the labels of the other half of space taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import default_color
from MedSegTrainerLib.data.case_labels import read_labels_onto
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.case_list import FILE
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.label_maps import read_label_map, write_label_map
from MedSegTrainerLib.imaging.read import read_channels


def half_names(case: Case) -> tuple[str, str]:
    return f"{case.name} half 1", f"{case.name} half 2"


def write_halves(case: Case, dataset: Dataset, folder: Path, ignore_label: int | None) -> int:
    """A data set of the two halves in ``folder``; returns the label value of voxels that belong to the other half.

    ignore_label: of voxels that nobody labelled in the case itself. Raises DataError where nothing is labelled.
    """
    image = read_channels(case.images)[0]
    labels = read_labels_onto(case, image, ignore_label)
    values = sitk.GetArrayFromImage(labels)
    ignored = ignore_label or max(int(values.max()), *dataset.label_names, 0) + 1
    first = first_half(np.where(values == ignored, 0, values))
    for name, inside in zip(half_names(case), (first, ~first), strict=True):
        half = sitk.GetImageFromArray(np.where(inside, values, ignored).astype(np.int32))
        half.CopyInformation(labels)
        write_label_map(half, folder / f"{name}.nii.gz", ())
    atomic.write_json(folder / FILE, _document(case, dataset))
    return ignored


def first_half(values: np.ndarray) -> np.ndarray:
    """Which voxels (z, y, x) lie before the plane that cuts the labelled voxels into halves, across a whole axis.

    Of the three axes the one that leaves most of every class on both sides; then the longest.
    """
    if not values.any():
        raise DataError("The only case has no labelled voxels, so nothing can be learned from it. Segment it first.")
    cuts = [_cut(values, axis) for axis in range(3)]
    axis = max(range(3), key=lambda i: (_smallest_share(values, i, cuts[i]), values.shape[i]))
    before = np.arange(values.shape[axis]) < cuts[axis]
    return np.broadcast_to(np.expand_dims(before, [i for i in range(3) if i != axis]), values.shape)


def joined(
    case: Case, folder: Path, predictions: Sequence[Path], values: Mapping[str, int], ignored: int
) -> sitk.Image:
    """The label map of each half as the model of the other one predicts it, on the case's grid.

    predictions: label maps of half 1 and of half 2, each of the whole image. values: label value of each class.
    """
    halves = [read_label_map(folder / f"{name}.nii.gz") for name in half_names(case)]
    first, second = (sitk.GetArrayFromImage(read_label_map(path, values)) for path in predictions)
    result = sitk.GetImageFromArray(np.where(sitk.GetArrayViewFromImage(halves[0]) != ignored, first, second))
    result.CopyInformation(halves[0])
    return result


def _cut(values: np.ndarray, axis: int) -> int:
    """Where half of the labelled voxels lie before; at least a plane remains on either side, if there are two."""
    counts = np.count_nonzero(values, axis=tuple(i for i in range(3) if i != axis)).cumsum()
    middle = int(np.searchsorted(counts, counts[-1] / 2)) + 1
    return max(1, min(middle, values.shape[axis] - 1))


def _smallest_share(values: np.ndarray, axis: int, cut: int) -> float:
    """Of a class on either side of the cut, the smallest of all classes; 0 where the axis has one plane."""
    before, after = np.split(values, [cut], axis=axis)
    classes = [value for value in np.unique(values) if value]
    counts = [(np.count_nonzero(before == value), np.count_nonzero(after == value)) for value in classes]
    return min(min(pair) / sum(pair) for pair in counts)


def _document(case: Case, dataset: Dataset) -> dict[str, Any]:
    classes = []
    for index, (value, name) in enumerate(sorted(dataset.label_names.items())):
        look = dataset.looks.get(name)
        color, terminology = (default_color(index), "") if look is None else (look.color, look.terminology)
        classes.append({"value": value, "name": name, "color": list(color), "terminology": terminology})
    return {
        "schema_version": 1,
        "channels": list(dataset.channel_names),
        "classes": [item for item in classes if item["value"]],
        "cases": [
            {
                "name": name,
                "images": [str(path.resolve()) for path in case.images],
                "label": f"{name}.nii.gz",
                **({} if case.drawn is None else {"drawn": list(case.drawn)}),
            }
            for name in half_names(case)
        ],
    }
