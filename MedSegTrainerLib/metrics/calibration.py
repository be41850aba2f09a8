"""Whether a model is unsure where it is wrong: errors counted by how uncertain the model was there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

FINE = 0.01  # width of the bins while counting, when nobody knows yet how high the values go
HIGHEST = 4.0  # the entropy of 55 equally likely classes, in nats
BINS = 10  # of what is kept
NEARLY_ALL = 0.9995  # share of the voxels that the bins span: one stray value must not stretch them
NEIGHBOURHOOD = 5  # voxels around the labels' box that count: farther away nothing is uncertain, and nothing wrong


@dataclass
class UncertaintyError:
    """Sums over cases. Values from 0 (sure) upwards, such as entropies or standard deviations of probabilities."""

    voxels: np.ndarray = field(default_factory=lambda: np.zeros(round(HIGHEST / FINE), np.int64))
    wrong: np.ndarray = field(default_factory=lambda: np.zeros(round(HIGHEST / FINE), np.int64))
    cases: dict[str, float | None] = field(default_factory=dict)

    def add(
        self,
        case: str,
        uncertainty: np.ndarray,
        prediction: np.ndarray,
        reference: np.ndarray,
        unknown: np.ndarray | None = None,
    ) -> None:
        """Counts one case; arrays (z, y, x) on one grid. unknown: mask of voxels that nobody labelled, left out."""
        box = _box((prediction != 0) | (reference != 0))
        values = np.nan_to_num(uncertainty[box]).clip(0, HIGHEST - FINE / 2)
        bins = (values / FINE).astype(np.int64)
        mistaken = prediction[box] != reference[box]
        if unknown is not None:
            known = ~unknown[box]
            bins, mistaken = bins[known], mistaken[known]
        self.voxels += np.bincount(bins.ravel(), minlength=len(self.voxels))
        self.wrong += np.bincount(bins[mistaken], minlength=len(self.wrong))
        inside = prediction != 0
        self.cases[case] = float(uncertainty[inside].mean()) if inside.any() else None

    def to_json(self) -> dict[str, Any] | None:
        """``bins``: from, to, voxels and wrong voxels; ``cases``: mean over what was predicted. None without maps."""
        if not self.cases:
            return None
        reached = np.searchsorted(np.cumsum(self.voxels), NEARLY_ALL * self.voxels.sum()) + 1
        width = max(1, -(-int(reached) // BINS))
        bins = []
        for index in range(BINS):
            # what lies beyond the last bin is the most uncertain of all, and belongs to it
            part = slice(index * width, (index + 1) * width if index < BINS - 1 else None)
            bins.append(
                {
                    "from": round(index * width * FINE, 4),
                    "to": round((index + 1) * width * FINE, 4),
                    "voxels": int(self.voxels[part].sum()),
                    "wrong": int(self.wrong[part].sum()),
                }
            )
        return {"bins": bins, "cases": dict(self.cases)}


def _box(labelled: np.ndarray) -> tuple[slice, ...]:
    """Around everything labelled, with its neighbourhood; all where nothing is."""
    box = []
    for axis, size in enumerate(labelled.shape):
        across = tuple(other for other in range(labelled.ndim) if other != axis)
        indices = np.flatnonzero(labelled.any(axis=across))
        low, high = (int(indices[0]), int(indices[-1]) + 1) if indices.size else (0, size)
        box.append(slice(max(0, low - NEIGHBOURHOOD), high + NEIGHBOURHOOD))
    return tuple(box)
