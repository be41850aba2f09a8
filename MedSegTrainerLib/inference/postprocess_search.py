"""Which clean-up of the label map helps a model, class by class, chosen by its predictions of validation cases.

Three are tried: keeping the largest piece, removing pieces below a share of the class's usual volume, and filling
holes. One is used where the mean Dice of the cases rises by ``LEAST_GAIN`` and ``BETTER_TO_WORSE`` times as many cases
get better as get worse. A case with the class on neither side has a Dice of 1: leaving nothing there is right. One in
which nobody looked for the class says nothing of it. Pieces are those of the whole prediction, and right or wrong where
somebody labelled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from MedSegTrainerLib.classes import LabelClass, unknown_classes
from MedSegTrainerLib.imaging.class_bits import class_counts, combination_counts, where_class
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.class_by_class import class_array, each_class
from MedSegTrainerLib.inference.postprocess import (
    TOUCHING,
    filled_holes,
    keep_largest_components,
    remove_small_components,
)
from MedSegTrainerLib.model.postprocessing import Cleaning

LEAST_CASES = 3  # with fewer, what helped by chance would be taken for what helps
LEAST_GAIN = 0.002
BETTER_TO_WORSE = 3
SMALL_SHARES = (0.01, 0.03, 0.1)  # of the median volume of the class in the references
SAME = 1e-6  # of Dice


@dataclass(frozen=True)
class _Pieces:
    """One class in one case: voxels of each predicted piece, how many of them lie where somebody labelled, and how many
    of these are right; ``filled``: the last two of the voxels that filling holes would add. is_whole: whether all of
    the case is labelled."""

    sizes: np.ndarray
    counted: np.ndarray
    right: np.ndarray
    filled: tuple[int, int]
    reference: int
    voxel_mm3: float
    is_whole: bool

    def dice(self, kept: np.ndarray, *, fill: bool = False) -> float:
        predicted = int(self.counted[kept].sum()) + fill * self.filled[0]
        right = int(self.right[kept].sum()) + fill * self.filled[1]
        return 2 * right / (predicted + self.reference) if predicted + self.reference else 1.0


@dataclass
class CleaningStudy:
    """Takes cases one after the other and keeps a few numbers of each; ``choose`` says what helps.

    overlapping: label arrays hold ``class_bits``, and a hole of a class is one whatever else is there.
    """

    classes: Sequence[LabelClass]
    overlapping: bool = False
    cases: int = 0
    pieces: dict[int, list[_Pieces]] = field(default_factory=dict)

    def add(
        self,
        prediction: np.ndarray,
        reference: np.ndarray,
        spacing_zyx: Sequence[float],
        drawn: Collection[str] | None = None,
        known: np.ndarray | None = None,
    ) -> None:
        """A case: label values (z, y, x) of both sides; spacing in mm. drawn: names of the classes that somebody looked
        for, None for all. known: mask of the voxels that somebody labelled, None for all; in others the reference is
        0."""
        self.cases += 1
        voxel = float(np.prod(spacing_zyx))
        new = None if self.overlapping else _in_holes(prediction)
        unknown = unknown_classes([item.name for item in self.classes], drawn)
        for item in (item for index, item in enumerate(self.classes, start=1) if index not in unknown):
            predicted, expected = (where_class(side, item.value, self.overlapping) for side in (prediction, reference))
            added = _in_holes(class_array(prediction, item.value)) if new is None else new
            entry = _pieces(predicted, expected, added == item.value, voxel, known)
            self.pieces.setdefault(item.value, []).append(entry)

    def choose(self) -> list[Cleaning]:
        """What to do to each class, all of them named, nothing to one that too few cases tell of; [] with too few
        cases."""
        if self.cases < LEAST_CASES:
            return []
        told = {item.value: self.pieces.get(item.value, []) for item in self.classes}
        return [
            _best(item, told[item.value])
            if len(told[item.value]) >= LEAST_CASES
            else Cleaning(value=item.value, name=item.name, cases=len(told[item.value]))
            for item in self.classes
        ]


def clean_classes(labels: np.ndarray, spacing_zyx: Sequence[float], cleanings: Iterable[Cleaning]) -> np.ndarray:
    """A label array (z, y, x) cleaned up class by class: specks, then all but the largest piece, then holes."""
    used = [item for item in cleanings if item.does_something]
    for item in used:
        if item.minimum_size_mm3:
            labels = remove_small_components(labels, spacing_zyx, item.minimum_size_mm3, [item.value])
    largest, holes = (
        [item.value for item in used if getattr(item, option)] for option in ("largest_component", "fill_holes")
    )
    if largest:
        labels = keep_largest_components(labels, largest)
    return filled_holes(labels, holes) if holes else labels


def _in_holes(labels: np.ndarray) -> np.ndarray:
    """What holes would become, 0 elsewhere."""
    new = filled_holes(labels)
    new[labels != 0] = 0
    return new


def _pieces(
    predicted: np.ndarray, reference: np.ndarray, filled: np.ndarray, voxel_mm3: float, known: np.ndarray | None
) -> _Pieces:
    sizes = counted = right = np.zeros(0, np.int64)
    for box in ndimage.find_objects(predicted.astype(np.uint8)):
        numbers, count = ndimage.label(predicted[box], TOUCHING)
        counted = sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        if known is not None:
            counted = np.bincount(numbers[known[box]], minlength=count + 1)[1:]
        right = np.bincount(numbers[reference[box]], minlength=count + 1)[1:]
    filled = filled if known is None else filled & known
    added = int(np.count_nonzero(filled)), int(np.count_nonzero(filled & reference))
    is_whole = known is None or bool(known.all())
    return _Pieces(sizes, counted, right, added, int(np.count_nonzero(reference)), voxel_mm3, is_whole)


def _best(item: LabelClass, cases: Sequence[_Pieces]) -> Cleaning:
    before = np.array([case.dice(np.ones(len(case.sizes), bool)) for case in cases])
    best, kept = _best_removal(item, cases, before)
    plain = np.array([case.dice(keep) for case, keep in zip(cases, kept, strict=True)])
    with_holes = np.array([case.dice(keep, fill=True) for case, keep in zip(cases, kept, strict=True)])
    fill = _helps(plain, with_holes)
    after = with_holes if fill else plain
    better, worse = _counts(before, after)
    return Cleaning(
        value=item.value,
        name=item.name,
        **best,
        fill_holes=fill,
        cases=len(cases),
        dice_before=round(float(before.mean()), 6),
        dice_after=round(float(after.mean()), 6),
        better=better,
        worse=worse,
    )


def _best_removal(
    item: LabelClass, cases: Sequence[_Pieces], before: np.ndarray
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The settings that help most, {} for none, and which pieces they keep in each case."""
    volumes = [case.reference * case.voxel_mm3 for case in cases if case.reference and case.is_whole]
    usual = float(np.median(volumes)) if volumes else 0.0
    tried: list[dict[str, Any]] = [
        {"minimum_size_mm3": float(f"{share * usual:.3g}")} for share in SMALL_SHARES if usual
    ]
    tried.append({"largest_component": True})
    best: dict[str, Any] = {}
    kept = [np.ones(len(case.sizes), bool) for case in cases]
    highest = before
    for settings in tried:
        keeps = [_kept(case, settings) for case in cases]
        after = np.array([case.dice(keep) for case, keep in zip(cases, keeps, strict=True)])
        if _helps(before, after) and after.mean() > highest.mean() + SAME:
            best, kept, highest = settings, keeps, after
    return best, kept


def _kept(case: _Pieces, settings: Mapping[str, Any]) -> np.ndarray:
    if "largest_component" in settings:
        kept = np.zeros(len(case.sizes), bool)
        if len(kept):
            kept[case.sizes.argmax()] = True
        return kept
    return case.sizes * case.voxel_mm3 >= settings["minimum_size_mm3"] * (1 - 1e-9)


def _helps(before: np.ndarray, after: np.ndarray) -> bool:
    better, worse = _counts(before, after)
    return bool(after.mean() - before.mean() >= LEAST_GAIN) and better >= max(2, BETTER_TO_WORSE * worse)


def _counts(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    return int((after > before + SAME).sum()), int((after < before - SAME).sum())


def cleaned_up(labels: sitk.Image, cleanings: Sequence[Cleaning], *, overlapping: bool = False) -> sitk.Image:
    """The label map, or ``class_bits`` of classes that overlap, cleaned up class by class, on the same grid."""
    array, spacing = sitk.GetArrayViewFromImage(labels), Geometry.of(labels).spacing_zyx
    used = [item for item in cleanings if item.does_something]
    if not used:
        return labels
    if overlapping:
        values = sorted(class_counts(combination_counts(array)).keys() - {0})
        result = each_class(array, values, lambda layer: clean_classes(layer, spacing, used))
    else:
        result = clean_classes(array, spacing, used)
    image = sitk.GetImageFromArray(result)
    image.CopyInformation(labels)
    return image
