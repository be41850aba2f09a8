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
from MedSegTrainerLib.imaging.class_bits import class_counts, has_class, where_class
from MedSegTrainerLib.imaging.label_maps import read_label_map, write_label_map
from MedSegTrainerLib.imaging.label_source import LabelSource, read_labels
from MedSegTrainerLib.imaging.read import read_channels


def half_names(case: Case) -> tuple[str, str]:
    return f"{case.name} half 1", f"{case.name} half 2"


def write_halves(case: Case, dataset: Dataset, folder: Path, ignore_label: int | None) -> int:
    """A data set of the two halves in ``folder``; returns the label value of voxels that belong to the other half.

    ignore_label: of voxels that nobody labelled in the case itself. Of classes that overlap each has a mask of its own.
    Raises DataError where nothing is labelled.
    """
    image = read_channels(case.images)[0]
    labels = read_labels_onto(case, image, ignore_label)
    values = sitk.GetArrayFromImage(labels)
    ignored = ignore_label or max(int(values.max()), *dataset.label_names, 0) + 1
    first = first_half(np.where(values == ignored, 0, values), overlapping=case.overlapping)
    other = max(dataset.label_names, default=0) + 1 if case.overlapping else ignored
    for name, inside in zip(half_names(case), (first, ~first), strict=True):
        known = inside & (values != ignored)
        for value in dataset.label_names if case.overlapping else ():
            _write(np.where(known, has_class(values, value), other), labels, folder / _mask_file(name, value))
        if not case.overlapping:
            _write(np.where(inside, values, ignored), labels, folder / f"{name}.nii.gz")
    atomic.write_json(folder / FILE, _document(case, dataset, other))
    return other


def _write(array: np.ndarray, grid: sitk.Image, path: Path) -> None:
    image = sitk.GetImageFromArray(array.astype(np.int32))
    image.CopyInformation(grid)
    write_label_map(image, path, ())


def _mask_file(name: str, value: int) -> str:
    return f"{name} class {value}.nii.gz"


def first_half(values: np.ndarray, *, overlapping: bool = False) -> np.ndarray:
    """Which voxels (z, y, x) lie before the plane that cuts the labelled voxels into halves, across a whole axis.

    Of the three axes the one that leaves most of every class on both sides; then the longest. overlapping: the values
    are ``class_bits``.
    """
    if not values.any():
        raise DataError("The only case has no labelled voxels, so nothing can be learned from it. Segment it first.")
    present = [int(value) for value in np.unique(values) if value]
    classes = sorted(class_counts(dict.fromkeys(present, 1))) if overlapping else present
    masks = [where_class(values, value, overlapping) for value in classes]
    cuts = [_cut(values, axis) for axis in range(3)]
    axis = max(range(3), key=lambda i: (_smallest_share(masks, i, cuts[i]), values.shape[i]))
    before = np.arange(values.shape[axis]) < cuts[axis]
    return np.broadcast_to(np.expand_dims(before, [i for i in range(3) if i != axis]), values.shape)


def joined(
    case: Case, folder: Path, predictions: Sequence[Path], values: Mapping[str, int], ignored: int
) -> sitk.Image:
    """The label map of each half as the model of the other one predicts it, on the case's grid.

    predictions: label maps of half 1 and of half 2, each of the whole image. values: label value of each class.
    ignored: as of ``write_halves``.
    """
    name = half_names(case)[0]
    files = [_mask_file(name, value) for value in values.values()] if case.overlapping else [f"{name}.nii.gz"]
    half = read_label_map(folder / files[0])
    sources = [LabelSource(path=path, numbers=values, overlapping=case.overlapping) for path in predictions]
    first, second = (sitk.GetArrayFromImage(read_labels(source)) for source in sources)
    result = sitk.GetImageFromArray(np.where(sitk.GetArrayViewFromImage(half) != ignored, first, second))
    result.CopyInformation(half)
    return result


def _cut(values: np.ndarray, axis: int) -> int:
    """Where half of the labelled voxels lie before; at least a plane remains on either side, if there are two."""
    counts = np.count_nonzero(values, axis=tuple(i for i in range(3) if i != axis)).cumsum()
    middle = int(np.searchsorted(counts, counts[-1] / 2)) + 1
    return max(1, min(middle, values.shape[axis] - 1))


def _smallest_share(masks: Sequence[np.ndarray], axis: int, cut: int) -> float:
    """Of a class on either side of the cut, the smallest of all classes; 0 where the axis has one plane."""
    counts = [[np.count_nonzero(part) for part in np.split(mask, [cut], axis=axis)] for mask in masks]
    return min(min(pair) / sum(pair) for pair in counts)


def _document(case: Case, dataset: Dataset, other: int) -> dict[str, Any]:
    classes = []
    for index, (value, name) in enumerate(sorted(dataset.label_names.items())):
        look = dataset.looks.get(name)
        color, terminology = (default_color(index), "") if look is None else (look.color, look.terminology)
        classes.append({"value": value, "name": name, "color": list(color), "terminology": terminology})
    return {
        "schema_version": 1,
        "channels": list(dataset.channel_names),
        "classes": [item for item in classes if item["value"]],
        **({"overlapping": True, "ignore_label": other} if case.overlapping else {}),
        "cases": [
            {
                "name": name,
                "images": [str(path.resolve()) for path in case.images],
                **(
                    {"masks": {item: _mask_file(name, value) for value, item in dataset.label_names.items()}}
                    if case.overlapping
                    else {"label": f"{name}.nii.gz"}
                ),
                **({} if case.drawn is None else {"drawn": list(case.drawn)}),
            }
            for name in half_names(case)
        ],
    }
