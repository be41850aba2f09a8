"""Keeps the slices that are suggested apart: over images, and along the axis of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from MedSegTrainerLib.suggestion.case_slices import CaseSlices

SMALLEST_GAP = 2  # slices: neighbours show nearly the same
HALVES = 2  # a slice may be as near to the next as half of an even distance


class Spread:
    """Which slices may still be suggested: none that is drawn, none near one that is drawn or suggested, and of no
    image more than its share."""

    def __init__(self, cases: Sequence[CaseSlices], count: int) -> None:
        self.cases, self.count = cases, count
        free = sum(not case.drawn.all() for case in cases)
        self.share = max(1, count // free) if free else 0
        self.gaps = [_gap(case, math.ceil(count / max(1, free))) for case in cases]
        self.taken: list[list[int]] = [[] for _ in cases]

    def open_slices(self, index: int) -> np.ndarray:
        """(n,) bool of the case with this index."""
        case, taken = self.cases[index], self.taken[index]
        if len(taken) >= self.share:
            return np.zeros(len(case.drawn), bool)
        used = case.drawn.copy()
        used[taken] = True
        places = np.arange(len(used))
        distance = np.abs(places[:, None] - np.flatnonzero(used)).min(axis=1) if used.any() else len(used) + places
        return np.asarray(distance >= self.gaps[index])

    def take(self, index: int, place: int) -> None:
        self.taken[index].append(place)

    def relax(self) -> bool:
        """Lets more slices of an image in, then nearer ones; False where nothing is left to be relaxed."""
        if self.share < self.count:
            self.share += 1
            return True
        if max(self.gaps, default=1) > 1:
            self.gaps = [max(1, gap // 2) for gap in self.gaps]
            return True
        return False


def _gap(case: CaseSlices, share: int) -> int:
    """Slices from one that is drawn or suggested to the next: half of what even steps through all that is seen were."""
    seen = np.flatnonzero(case.seen)
    extent = int(seen[-1] - seen[0]) + 1 if seen.size else len(case.seen)
    return max(SMALLEST_GAP, extent // (HALVES * max(1, share + int(case.drawn.sum()))))
