"""What the label values of predictions and references have in common: where they have not, a Dice of 0 says nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import WHITE
from MedSegTrainerLib.data.checks.label_values import BINARY, NOBODY, VOID, as_class, is_soft, soft_message
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.imaging.label_maps import ROUNDED

Sides = tuple[np.ndarray, np.ndarray]
ONE_CLASS = "Masks of 0 and 1 and of 0 and 255 were compared as one class."


@dataclass
class EvaluatedValues:
    """predicted, expected: label value to the cases that have it. disjoint: cases whose two sides share none.
    joined: whether masks of 0 and 1 and of 0 and 255 met. rounded: files."""

    predicted: dict[int, list[str]] = field(default_factory=dict)
    expected: dict[int, list[str]] = field(default_factory=dict)
    disjoint: list[str] = field(default_factory=list)
    joined: bool = False
    rounded: list[str] = field(default_factory=list)

    def add(self, pair: Pair, sides: Sides, class_values: Collection[int]) -> tuple[Sides, set[int]]:
        """Both sides, the numbers of binary masks made the same, and the values that stand in any of them.

        class_values: of the classes; where there are none, a binary mask gets the number of its reference. Raises
        DataError for masks with gray edges.
        """
        counts = [_counts(side, path) for side, path in zip(sides, (pair.prediction, pair.reference), strict=True)]
        valid = class_values or counts[1].keys()
        predicted, expected = (as_class(side, valid) for side in sides)
        values = [
            set(count) if side is before else set(valid)
            for side, before, count in zip((predicted, expected), sides, counts, strict=True)
        ]
        self.joined |= predicted is not sides[0] or expected is not sides[1]
        if all(values) and not values[0] & values[1]:
            self.disjoint.append(pair.name)
        for seen, own in zip((self.predicted, self.expected), values, strict=True):
            for value in own:
                seen.setdefault(value, []).append(pair.name)
        return (predicted, expected), values[0] | values[1]

    def add_rounded(self, pair: Pair, labels: Collection[sitk.Image]) -> None:
        for path, image in zip((pair.prediction, pair.reference), labels, strict=True):
            if image.HasMetaDataKey(ROUNDED):
                self.rounded.append(f"{path.name} ({image.GetMetaData(ROUNDED)})")

    @property
    def are_binary(self) -> bool:
        """Whether some cases are of 0 and 1 on both sides, and all others of 0 and 255."""
        white, one = (self.predicted.get(v, []) + self.expected.get(v, []) for v in (WHITE, 1))
        return {*self.predicted, *self.expected} == BINARY and not set(white) & set(one)

    def notes(self, names: Mapping[int, str], left_out: Collection[int] = ()) -> list[str]:
        """Sentences for the reader. names: of values that have one. left_out: values that were reported already."""
        notes = [ONE_CLASS] if self.joined or self.are_binary else []
        if self.rounded:
            notes.append(f"Label values near to whole numbers were rounded: {some(self.rounded)}.")
        if self.are_binary:
            return notes
        negative = sorted(value for value in {*self.predicted, *self.expected} - names.keys() if value < 0)
        if negative:
            notes.append(
                f"The negative label value {negative[0]} was taken as a class. If it stands for {NOBODY}: "
                f"--ignore-label {negative[0]}."
            )
        one_sided = [
            f"only {side} have {_listed(own, alone, names)}"
            for side, own, other in (
                ("predictions", self.predicted, self.expected),
                ("references", self.expected, self.predicted),
            )
            if (alone := sorted(own.keys() - other.keys() - set(left_out)))
        ]
        if one_sided:
            notes.append(f"Label values differ: {' and '.join(one_sided)}. {self._reason()}")
        elif self.disjoint:
            notes.append(
                f"Prediction and reference of {some(self.disjoint)} have no label value in common. Check that both "
                "number the classes alike there."
            )
        return notes

    def _reason(self) -> str:
        void = [value for value in VOID if value in self.expected and value not in self.predicted]
        if void and len(self.expected) > 1:
            return f"{void[0]} often stands for {NOBODY}: then --ignore-label {void[0]}."
        predicted, expected = sorted(self.predicted), sorted(self.expected)
        shifts = {a - b for a, b in zip(predicted, expected, strict=False)}
        if len(predicted) == len(expected) and len(shifts) == 1:
            return f"The predictions' values look shifted by {shifts.pop():+d}: number the classes of both sides alike."
        if not predicted or self.predicted.keys() - self.expected.keys():
            return "A class that has another number on the other side is compared with nothing: number both alike."
        return "It was missed everywhere, or has another number in the predictions."


def _counts(labels: np.ndarray, path: Path) -> dict[int, int]:
    values, counts = np.unique(labels[labels != 0], return_counts=True)
    voxel_counts = dict(zip(values.tolist(), counts.tolist(), strict=True))
    if is_soft(voxel_counts):
        raise DataError(f"{path}: {' '.join(soft_message(voxel_counts))}")
    return voxel_counts


def _listed(own: Mapping[int, list[str]], alone: Sequence[int], names: Mapping[int, str]) -> str:
    named = [f"{value}{f' ({names[value]})' if value in names else ''}" for value in alone]
    cases = sorted({case for value in alone for case in own[value]})
    return f"{some(named)} (in {some(cases)})"
