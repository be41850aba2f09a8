"""Scores of slices, with numbers worked out by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pkgutil import resolve_name

import numpy as np
import pytest

from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.rankings import (
    MOST_ROUNDS,
    Turn,
    class_order,
    class_stratified,
    mean_entropy,
    random_foreground,
)

Make = Callable[..., CaseSlices]


def turn(cases: Sequence[CaseSlices], number: int = 0, rounds: int = 0, seed: int = 0) -> Turn:
    return Turn(cases=cases, number=number, rounds=rounds, generator=np.random.default_rng(seed))


def test_every_ranking_is_there() -> None:
    for entry in RANKINGS.values():
        assert [*inspect.signature(resolve_name(entry.scores)).parameters] == ["turn"]


def test_at_random_each_image_comes_first_as_often_and_only_where_something_is_seen(make_case: Make) -> None:
    seen = np.array([[0, 0, 1, 1, 0, 0]])
    many = make_case("many", [[0.9] * 60], voxels=np.ones((1, 60), int))
    few = make_case("few", [[0.1] * 6], voxels=seen)
    none = make_case("none", [[0.5] * 4], voxels=np.zeros((1, 4), int))
    firsts, slices = [], set()
    for seed in range(400):
        scores = random_foreground(turn([many, few, none], seed=seed)).of_case
        assert np.isneginf(scores[2]).all() and np.isneginf(scores[1][[0, 1, 4, 5]]).all()
        firsts.append(int(np.argmax([of.max() for of in scores[:2]])))
        slices.add(int(scores[0].argmax()))
    assert 150 < sum(firsts) < 250
    assert len(slices) > 50


def test_entropy_is_that_of_the_slice(make_case: Make) -> None:
    case = make_case("a", [[0.1, 0.4, 0.2]], entropy=np.array([0.3, 0.1, 0.2]))
    (scores,) = mean_entropy(turn([case])).of_case
    assert scores.tolist() == [0.3, 0.1, 0.2]


class TestClassStratified:
    def test_classes_take_turns_and_the_one_most_in_doubt_for_its_size_begins(self, make_case: Make) -> None:
        """Of a slice of 100 voxels of 2 mm2 a share of 0.2 is 40 mm2, and 400 voxels are 800 mm2."""
        voxels = np.array([[400, 400], [10, 10], [100, 100]])
        case = make_case("a", [[0.2, 0.2], [0.1, 0.1], [0.2, 0.2]], voxels=voxels)
        assert class_order([case]) == [1, 2, 0]
        assert [class_stratified(turn([case], number)).class_index for number in range(4)] == [1, 2, 0, 1]

    def test_late_rounds_take_the_most_unsure_and_early_ones_explore(self, make_case: Make) -> None:
        case = make_case("a", [[0.1, 0.2, 0.4, 0.2]])
        late = [int(class_stratified(turn([case], rounds=99, seed=seed)).of_case[0].argmax()) for seed in range(60)]
        assert set(late) == {2}
        early = [int(class_stratified(turn([case], seed=seed)).of_case[0].argmax()) for seed in range(3000)]
        # the highest of logarithms with Gumbel noise is drawn in proportion (Gumbel-max)
        shares = np.bincount(early, minlength=4) / len(early)
        assert shares == pytest.approx(np.array([1, 2, 4, 2]) / 9, abs=0.03)

    def test_the_noise_halves_with_each_round(self, make_case: Make) -> None:
        case = make_case("a", [[0.5] * 2000])
        spreads = [class_stratified(turn([case], rounds=rounds)).of_case[0].std() for rounds in (0, 1, 3)]
        assert spreads == pytest.approx([np.pi / np.sqrt(6) / 2**rounds for rounds in (0, 1, 3)], rel=0.1)
        assert MOST_ROUNDS >= 5

    def test_a_slice_without_any_doubt_has_a_finite_score(self, make_case: Make) -> None:
        case = make_case("a", [[0.0, 0.3]])
        assert np.isfinite(class_stratified(turn([case])).of_case[0]).all()
