"""What is said of each image that a model was applied to, gathered while it works, and written after each of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.class_bits import where_class
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.metrics.units import ONE_ML, length_of
from MedSegTrainerLib.model.likely_dice import UNKNOWN, ClassPoints, Likely, estimate, of_case
from MedSegTrainerLib.results_file import CaseResult, ClassResult, write_results

LARGEST_SHARE = 0.1  # of the time that writing both files again and again may take, where images are many


class ApplyResults:
    """The results of a folder; ``add`` writes its files, but for those that come faster than they can be written."""

    def __init__(self, folder: Path, known: Sequence[CaseResult] = ()) -> None:
        self.folder = folder
        self._cases = {case.name: case for case in known}
        self._next = 0.0

    def add(self, case: CaseResult) -> None:
        self._cases[case.name] = case
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Both files, with all that is known; raises StorageError."""
        began = time.monotonic()
        write_results(self.folder, self._cases.values())
        took = time.monotonic() - began
        self._next = began + took / LARGEST_SHARE


def class_results(
    labels: sitk.Image,
    image: Path,
    classes: Sequence[LabelClass],
    likely: Mapping[int, Likely],
    *,
    overlapping: bool,
) -> list[ClassResult]:
    """A result for each class of a label map, of ``class_bits`` where classes overlap. Volumes are None where the file
    of the image does not say how large its voxels are. likely: by the value of the class."""
    array = sitk.GetArrayViewFromImage(labels)
    voxel = float(np.prod(Geometry.of(labels).spacing_zyx)) / ONE_ML
    is_known = length_of(image, labels) == "mm"
    return [
        ClassResult(
            name=item.name,
            volume_ml=_short(voxel * np.count_nonzero(where_class(array, item.value, overlapping)))
            if is_known
            else None,
            **asdict(likely.get(item.value, UNKNOWN)),
        )
        for item in classes
    ]


def likely_by_value(
    classes: Sequence[LabelClass],
    points: Sequence[ClassPoints],
    agreement: Sequence[float | None] | None,
    *,
    unlike: bool,
) -> dict[int, Likely]:
    """What the agreement on each class, in their order, says of its Dice; {} without agreements."""
    told = {item.value: item for item in points}
    return {
        item.value: estimate(told[item.value], value, unlike=unlike)
        for item, value in zip(classes, agreement or [], strict=agreement is not None)
        if item.value in told
    }


def case_figures(likely: Mapping[int, Likely]) -> dict[str, Any]:
    """Those of the whole image: ``likely_dice``, ``low`` and ``high``."""
    return asdict(of_case(list(likely.values())))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
