"""Which slices are chosen, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.choose import choose

Make = Callable[..., CaseSlices]


@pytest.fixture
def cases(make_case: Make) -> list[CaseSlices]:
    generator = np.random.default_rng(3)
    return [make_case(name, generator.uniform(0.05, 0.5, (2, 30))) for name in "abc"]


@pytest.mark.parametrize("ranking", RANKINGS)
class TestEveryRanking:
    def test_is_the_same_for_the_same_seed(self, cases: list[CaseSlices], ranking: str) -> None:
        assert choose(cases, ranking, 6, seed=5) == choose(cases, ranking, 6, seed=5)

    def test_chooses_slices_of_all_images_that_are_no_neighbours(self, cases: list[CaseSlices], ranking: str) -> None:
        for seed in range(20):
            picks = choose(cases, ranking, 6, seed)
            for index in range(3):
                first, second = sorted(pick.slice for pick in picks if pick.case == index)
                assert second - first >= 7  # 30 // (2 * 2)

    def test_never_chooses_what_is_drawn(self, make_case: Make, ranking: str) -> None:
        drawn = np.ones(12, bool)
        drawn[[3, 4, 9]] = False
        one = make_case("a", [[0.2] * 12], drawn=drawn)
        picks = choose([one], ranking, 5, seed=1)
        assert sorted(pick.slice for pick in picks) == [3, 4, 9]
        assert choose([make_case("a", [[0.2] * 12], drawn=np.ones(12, bool))], ranking, 5, seed=1) == []

    def test_chooses_something_where_the_model_sees_nothing(self, make_case: Make, ranking: str) -> None:
        blind = [make_case(name, [[0.2] * 9], voxels=np.zeros((1, 9), int)) for name in "ab"]
        picks = choose(blind, ranking, 4, seed=2)
        assert len(picks) == 4 and {pick.case for pick in picks} == {0, 1}

    def test_a_picture_is_one_slice(self, make_case: Make, ranking: str) -> None:
        pictures = [make_case(name, [[0.3]]) for name in "abcd"]
        picks = choose(pictures, ranking, 3, seed=0)
        assert len({pick.case for pick in picks}) == 3 and {pick.slice for pick in picks} == {0}


def test_at_random_in_other_slices_once_all_with_something_are_drawn(make_case: Make) -> None:
    voxels = np.zeros((1, 30), int)
    voxels[0, 20:22] = 5
    picks = choose([make_case("a", [[0.1] * 30], voxels=voxels)], "random-foreground", 4, seed=0)
    assert {pick.slice for pick in picks[:2]} == {20, 21}
    assert [pick.class_index for pick in picks] == [0, 0, None, None]


def test_entropy_takes_the_highest_first(make_case: Make) -> None:
    low, high = np.full(10, 0.1), np.full(10, 0.2)
    low[4], high[7] = 0.3, 0.4
    cases = [make_case("a", [low], entropy=low), make_case("b", [high], entropy=high)]
    picks = choose(cases, "entropy", 2, seed=0)
    assert [(pick.case, pick.slice, pick.score) for pick in picks] == [(1, 7, 0.4), (0, 4, 0.3)]


def test_by_class_each_has_its_slices(make_case: Make) -> None:
    doubts = np.full((2, 40), 0.001)
    doubts[0, 5], doubts[1, 30] = 0.5, 0.5
    picks = choose([make_case("a", doubts)], "class-stratified", 2, seed=0, rounds=9)
    assert {(pick.class_index, pick.slice) for pick in picks} == {(0, 5), (1, 30)}
    assert {pick.score for pick in picks} == {0.5}


class TestUnlike:
    def test_an_image_unlike_all_so_far_has_a_third(self, make_case: Make) -> None:
        cases = [make_case("a", [[0.5] * 20]), make_case("b", [[0.01] * 20], unlike=("thick slices",))]
        picks = choose(cases, "entropy", 3, seed=0)
        assert [(pick.case, pick.reason) for pick in picks] == [(1, "unlike"), (0, "unsure"), (0, "unsure")]

    def test_not_once_slices_of_it_are_drawn_and_not_at_random(self, make_case: Make) -> None:
        drawn = np.zeros(20, bool)
        drawn[0] = True
        cases = [make_case("a", [[0.5] * 20]), make_case("b", [[0.01] * 20], unlike=("thick slices",), drawn=drawn)]
        assert {pick.reason for pick in choose(cases, "entropy", 3, seed=0)} == {"unsure"}
        assert {pick.reason for pick in choose(cases, "random-foreground", 3, seed=0)} == {"random"}


def test_at_random_the_class_is_what_is_seen_most(make_case: Make) -> None:
    voxels = np.zeros((2, 3), int)
    voxels[1, 1], voxels[0, 1] = 9, 3
    (pick,) = choose([make_case("a", [[0.1] * 3, [0.1] * 3], voxels=voxels)], "random-foreground", 1, seed=0)
    assert (pick.slice, pick.class_index) == (1, 1)
