"""What is taken for what: voxels by their label in the reference and in the prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MedSegTrainerLib.classes import LabelClass

BACKGROUND = "background"


@dataclass
class Confusion:
    """Sums over cases. ``counts``: (reference value, predicted value) to voxels; 0 is background."""

    counts: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, prediction: np.ndarray, reference: np.ndarray, values: Sequence[int], voxels: int) -> None:
        """Counts two label arrays (z, y, x); labels other than ``values`` are background.

        voxels: how many of the arrays' voxels were labelled at all; the others must be 0 in both.
        """
        ordered = np.array(sorted({0, *values}))
        count = len(ordered)
        table = np.zeros((count, count), np.int64)
        for expected, predicted in zip(reference, prediction, strict=True):  # a volume of int64 would take gigabytes
            joint = _ranks(expected, ordered) * count + _ranks(predicted, ordered)
            table += np.bincount(joint.ravel(), minlength=count * count).reshape(count, count)
        background = int(np.searchsorted(ordered, 0))
        table[background, background] -= reference.size - voxels
        for row, column in np.argwhere(table):
            key = int(ordered[row]), int(ordered[column])
            self.counts[key] = self.counts.get(key, 0) + int(table[row, column])

    def to_json(self, classes: Sequence[LabelClass]) -> dict[str, Any]:
        """``labels``: names, background first. ``voxels``: rows of the reference, columns of the prediction."""
        values = [0, *(item.value for item in classes)]
        return {
            "labels": [BACKGROUND, *(item.name for item in classes)],
            "voxels": [[self.counts.get((row, column), 0) for column in values] for row in values],
        }


def row_shares(document: Mapping[str, Any]) -> np.ndarray:
    """Of each label of the reference: what share of its voxels was given which label; NaN for one that is nowhere."""
    voxels = np.array(document["voxels"], dtype=float)
    totals = voxels.sum(axis=1, keepdims=True)
    return np.divide(voxels, totals, out=np.full_like(voxels, np.nan), where=totals > 0)


def largest_confusions(document: Mapping[str, Any], count: int) -> list[tuple[str, str, int, float]]:
    """(reference, prediction, voxels, share of that label's voxels), the most voxels first; never equal labels."""
    names, voxels = document["labels"], np.array(document["voxels"])
    shares = row_shares(document)
    wrong = voxels * (1 - np.eye(len(names), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    cells = [divmod(int(index), len(names)) for index in order]
    return [(names[r], names[c], int(wrong[r, c]), float(shares[r, c])) for r, c in cells if wrong[r, c]]


def _ranks(labels: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Each value as its position in ``ordered``, that of 0 for every other value."""
    position = np.searchsorted(ordered, labels).clip(max=len(ordered) - 1)
    return np.where(ordered[position] == labels, position, np.searchsorted(ordered, 0))
