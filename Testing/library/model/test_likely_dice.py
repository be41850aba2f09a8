"""The likely Dice that held-out cases teach: monotone, honest with few cases, and refused where it is damaged."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.likely_dice import (
    NOTHING_FOUND,
    UNKNOWN,
    ClassPoints,
    Likely,
    Point,
    estimate,
    from_json,
    held_out_points,
    joined_points,
    leave_one_out,
    of_case,
    refuse_misfits,
    to_json,
)


def points(*pairs: tuple[float | None, float | None], name: str = "liver") -> ClassPoints:
    listed = [Point(case=f"p{index}", agreement=a, dice=d) for index, (a, d) in enumerate(pairs)]
    return ClassPoints(value=1, name=name, points=listed)


def drawn(count: int, seed: int, slope: float = 1.0, spread: float = 0.3) -> list[tuple[float, float]]:
    """Cases whose log-odds scatter normally about a line."""
    random = np.random.default_rng(seed)
    x = random.normal(2.5, 0.5, count)
    y = 2.0 + slope * (x - 2.5) + random.normal(0, spread, count)
    return [(float(1 / (1 + np.exp(-a))), float(1 / (1 + np.exp(-b)))) for a, b in zip(x, y, strict=True)]


def known(likely: Likely) -> tuple[float, float, float]:
    assert likely.likely_dice is not None and likely.low is not None and likely.high is not None
    return likely.likely_dice, likely.low, likely.high


class TestEstimate:
    @pytest.mark.parametrize("seed", range(5))
    def test_more_agreement_never_lowers_anything(self, seed: int) -> None:
        """Also where cases happened to say the opposite, and far from all of them."""
        for pairs in (drawn(3, seed), drawn(30, seed), [(0.9, 0.95), (0.95, 0.9), (0.97, 0.6)]):
            taught = points(*pairs)
            told = [known(estimate(taught, share)) for share in np.linspace(0, 1, 201)]
            for before, after in pairwise(told):
                assert all(a <= b for a, b in zip(before, after, strict=True))
            assert all(0 <= low <= middle <= high <= 1 for middle, low, high in told)

    def test_the_fewer_cases_the_wider(self) -> None:
        widths = []
        for count in (2, 3, 10, 40):
            _, low, high = known(estimate(points(*drawn(40, 1)[:count]), 0.92))
            widths.append(high - low)
        assert widths == sorted(widths, reverse=True) and widths[1] > 2 * widths[-1]

    def test_one_case_says_nothing_of_how_far_it_may_be_off(self) -> None:
        middle, low, high = known(estimate(points((0.9, 0.8)), 0.9))
        assert (middle, low, high) == (pytest.approx(0.8, abs=1e-3), 0.0, 1.0)

    def test_9_of_10_new_cases_lie_inside(self) -> None:
        """Over many trainings with five held-out cases, of the same kind as the new ones."""
        inside = []
        for seed in range(300):
            *taught, (agreement, dice) = drawn(6, seed)
            _, low, high = known(estimate(points(*taught), agreement))
            inside.append(low <= dice <= high)
        assert 0.85 <= np.mean(inside) <= 0.95

    def test_many_cases_teach_the_slope_and_few_keep_to_what_is_usual(self) -> None:
        many, few = points(*drawn(200, 0, slope=0.3)), points((0.92, 0.88), (0.921, 0.87))
        fall = [known(estimate(taught, 0.92))[0] - known(estimate(taught, 0.7))[0] for taught in (many, few)]
        assert fall[0] < 0.15 < 0.25 < fall[1]

    def test_an_image_unlike_the_training_is_rated_lower_and_less_sure(self) -> None:
        taught = points(*drawn(20, 2))
        like, unlike = (known(estimate(taught, 0.93, unlike=unlike)) for unlike in (False, True))
        assert unlike[0] < like[0] and unlike[1] < like[1] and unlike[2] == like[2]
        assert unlike[2] - unlike[1] > like[2] - like[1]

    def test_finding_nothing_of_what_every_case_has_is_a_failure(self) -> None:
        assert estimate(points((0.9, 0.8), (0.95, 0.9)), None) == NOTHING_FOUND
        assert estimate(points((0.9, 0.8), (None, None)), None) == UNKNOWN  # one was rightly without it
        assert estimate(points((None, 0.0)), 0.9) == UNKNOWN  # missed, and nothing of how looks agree
        assert estimate(points(), None) == estimate(points(), 0.9) == UNKNOWN


class TestOfCase:
    def test_the_mean_over_the_classes_of_which_something_is_known(self) -> None:
        first, second = Likely(likely_dice=0.9, low=0.8, high=0.95), Likely(likely_dice=0.5, low=0.2, high=0.85)
        assert of_case([first, UNKNOWN, second]) == Likely(likely_dice=0.7, low=0.5, high=0.9)
        assert of_case([UNKNOWN]) == of_case([]) == UNKNOWN


def test_no_case_is_told_by_itself() -> None:
    taught = points((0.9, 0.8), (0.95, 0.9), (0.5, 0.1))
    told = leave_one_out([taught])["p2"]["liver"]
    assert told == estimate(replace(taught, points=taught.points[:2]), 0.5)
    assert told != estimate(taught, 0.5)


def test_points_are_of_what_somebody_looked_for() -> None:
    classes = [LabelClass(value=2, name="liver", color=(1, 2, 3)), LabelClass(value=5, name="cyst", color=(4, 5, 6))]
    results: dict[str, Any] = {
        "cases": {
            "a": {"liver": {"dice": 0.9}, "cyst": {"dice": None}},
            "b": {"liver": {"dice": 0.8}, "cyst": {"dice": None}},
        },
        "not_drawn": {"b": ["cyst"]},
    }
    liver, cyst = held_out_points(classes, {"a": [0.95, None], "b": [0.9, 0.7]}, results)
    assert [(point.case, point.agreement, point.dice) for point in liver.points] == [("a", 0.95, 0.9), ("b", 0.9, 0.8)]
    assert [(point.case, point.agreement, point.dice) for point in cyst.points] == [("a", None, None)]
    assert not cyst.is_always_there and liver.is_always_there and (liver.value, cyst.value) == (2, 5)


class TestJson:
    def test_it_comes_back_as_it_was(self) -> None:
        taught = [points((0.9, 0.8), (None, None)), replace(points((0.5, 0.1), name="cyst"), value=2)]
        assert from_json(to_json(taught)) == taught
        assert to_json([points()]) == {} and from_json({}) == [] and from_json({"schema_version": 99}) == []

    def test_members_of_an_ensemble_pool_their_cases(self) -> None:
        first, second = to_json([points((0.9, 0.8))]), to_json([points((0.7, 0.5), (0.6, 0.4))])
        (joined,) = from_json(joined_points([first, second]))
        assert [point.dice for point in joined.points] == [0.8, 0.5, 0.4]
        assert joined_points([first, {}]) == joined_points([]) == {}

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"dice": 1.5}, "likely_dice.classes.0.points.0.dice"),
            ({"agreement": "0.9"}, "agreement"),
            ({"agreement": float("nan")}, "agreement"),
            ({"case": 3}, "case"),
        ],
    )
    def test_what_is_damaged_is_refused_by_name(self, change: dict[str, Any], named: str) -> None:
        entry = to_json([points((0.9, 0.8))])
        entry["classes"][0]["points"][0] |= change
        with pytest.raises(ModelError, match=named):
            refuse_misfits(entry, [1])

    @pytest.mark.parametrize("classes", ["none", 5, [3], [{"value": 1}]])
    def test_other_forms_are_refused(self, classes: Any) -> None:
        with pytest.raises(ModelError):
            refuse_misfits({"schema_version": 1, "classes": classes}, [1])

    def test_classes_that_the_plan_lacks_are_refused(self) -> None:
        with pytest.raises(ModelError, match=r"classes \[1\], and the plan has \[2, 5\]"):
            refuse_misfits(to_json([points((0.9, 0.8))]), [2, 5])
