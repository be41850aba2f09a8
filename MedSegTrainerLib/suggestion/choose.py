"""The slices to draw next, chosen one after the other by a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Literal

import numpy as np

from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.rankings import Scores, Turn, sees_anything
from MedSegTrainerLib.suggestion.spread import Spread

UNLIKE_SHARE = 3  # of so many slices one is in an image that is unlike all so far, where there is one
WITHOUT_FOREGROUND = "entropy"  # what is ranked by where the model sees nothing in any image


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A slice of ``cases[case]``. class_index: of the class that it was chosen for, or that is meant by it; None where
    there is none. score: where it was chosen for a class the share of the slice that is expected to be wrong about it,
    else the mean entropy of the slice."""

    case: int
    slice: int
    class_index: int | None
    reason: Literal["unsure", "unlike", "random"]
    score: float


def choose(cases: Sequence[CaseSlices], ranking: str, count: int, seed: int, rounds: int = 0) -> list[Pick]:
    """At most ``count`` slices, fewer where no more are there that nobody has drawn.

    rounds: trainings that the model went through before its last one. The same seed gives the same slices.
    """
    entry = RANKINGS[ranking]
    by_chance = entry.reason == "random"
    if not by_chance and not sees_anything(cases):
        entry = RANKINGS[WITHOUT_FOREGROUND]
    scores_of = resolve_name(entry.scores)
    spread, generator = Spread(cases, count), np.random.default_rng(seed)
    unlike = [bool(case.unlike) and not case.drawn.any() for case in cases]
    unlike_left = 0 if by_chance else count // UNLIKE_SHARE
    picks: list[Pick] = []
    for number in range(count):
        scores = scores_of(Turn(cases=cases, number=number, rounds=rounds, generator=generator))
        place = _best(scores, spread, unlike) if unlike_left else None
        is_unlike = place is not None
        unlike_left -= is_unlike
        place = place or _best_of_all(cases, scores, spread)
        if place is None:
            break
        spread.take(*place)
        picks.append(_pick(cases, place, scores, "unlike" if is_unlike else entry.reason))
    return picks


def _best_of_all(cases: Sequence[CaseSlices], scores: Scores, spread: Spread) -> tuple[int, int] | None:
    """The highest score where a slice may be suggested; less is asked for where none may, and in the end any slice by
    its entropy."""
    everywhere = [True] * len(cases)
    anything = Scores(of_case=[case.entropy for case in cases])
    while True:
        place = _best(scores, spread, everywhere)
        if place is not None:
            return place
        if not spread.relax():
            return _best(anything, spread, everywhere)


def _best(scores: Scores, spread: Spread, allowed: Sequence[bool]) -> tuple[int, int] | None:
    best, place = -np.inf, None
    for index, of_case in enumerate(scores.of_case):
        if not allowed[index]:
            continue
        open_scores = np.where(spread.open_slices(index), of_case, -np.inf)
        highest = int(open_scores.argmax())
        if open_scores[highest] > best:
            best, place = float(open_scores[highest]), (index, highest)
    return place


def _pick(
    cases: Sequence[CaseSlices], place: tuple[int, int], scores: Scores, reason: Literal["unsure", "unlike", "random"]
) -> Pick:
    case, index = cases[place[0]], place[1]
    chosen = scores.class_index
    score = case.entropy[index] if chosen is None else case.unsure[chosen, index]
    if chosen is None and reason == "random":
        chosen = int(case.voxels[:, index].argmax()) if case.voxels[:, index].any() else None
    elif chosen is None and case.unsure[:, index].any():
        chosen = int(case.unsure[:, index].argmax())
    return Pick(case=place[0], slice=index, class_index=chosen, reason=reason, score=float(score))
