"""Scores of slices, by which the next one to draw is chosen: at random, by entropy, or class by class with noise.

Class by class follows ClaSP PE (arXiv:2601.13677): each class has its turn, and the logarithm of a score gets Gumbel
noise of scale 1 / beta (as PowerBALD, arXiv:2101.03552), so that early rounds explore and late ones exploit. Unlike
there, the score is the area that is expected to be wrong (``SliceSums``), not entropy, and beta doubles with each
training that the model went through before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MedSegTrainerLib.suggestion.case_slices import CaseSlices

FIRST_BETA = 1.0
MOST_ROUNDS = 10  # by then the noise is next to nothing
NOTHING = 1e-12  # mm2, for a logarithm


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One slice is to be chosen. number: of slices chosen before. rounds: trainings that the model went through before
    its last one. generator: of all chance."""

    cases: Sequence[CaseSlices]
    number: int
    rounds: int
    generator: np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Scores:
    """of_case: for each case (n,), the highest is chosen; -inf where a slice is none to choose. class_index: of the
    class that is looked for, None where it is all of them."""

    of_case: list[np.ndarray]
    class_index: int | None = None


def random_foreground(turn: Turn) -> Scores:
    """Each image alike, and in it each slice in which the model sees something; each slice where it sees nothing in any
    image."""
    order = turn.generator.permutation(len(turn.cases))
    blind = not sees_anything(turn.cases)
    scores = []
    for case, place in zip(turn.cases, order, strict=True):
        chance = place + turn.generator.random(len(case.seen))
        scores.append(np.where(case.seen | blind, chance, -np.inf))
    return Scores(of_case=scores)


def mean_entropy(turn: Turn) -> Scores:
    """The slice whose voxels have the highest entropy in the mean."""
    return Scores(of_case=[case.entropy for case in turn.cases])


def class_stratified(turn: Turn) -> Scores:
    """The slice with the largest area that is probably wrong about the class whose turn it is, after noise."""
    chosen = class_order(turn.cases)[turn.number % len(turn.cases[0].unsure)]
    beta = FIRST_BETA * 2 ** min(turn.rounds, MOST_ROUNDS)
    scores = []
    for case in turn.cases:
        area_mm2 = wrong_area(case)[chosen]
        noise = turn.generator.gumbel(0, 1 / beta, len(area_mm2))
        scores.append(np.log(np.maximum(area_mm2, NOTHING)) + noise)
    return Scores(of_case=scores, class_index=chosen)


def class_order(cases: Sequence[CaseSlices]) -> list[int]:
    """Indices of the classes, first those of which most is probably wrong for their size."""
    wrong = sum(wrong_area(case).sum(axis=1) for case in cases)
    predicted = sum(case.voxels.sum(axis=1) * case.axis.voxel_mm2 for case in cases)
    share = wrong / np.maximum(predicted, NOTHING)
    return [int(index) for index in np.argsort(-share, kind="stable")]


def sees_anything(cases: Sequence[CaseSlices]) -> bool:
    """Whether the model sees any class in any image."""
    return any(bool(case.seen.any()) for case in cases)


def wrong_area(case: CaseSlices) -> np.ndarray:
    """(classes, n): mm2 of a slice that are expected to be wrong."""
    return np.asarray(case.unsure * case.axis.voxels * case.axis.voxel_mm2)
