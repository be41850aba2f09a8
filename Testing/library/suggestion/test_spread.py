"""Suggested slices do not lie beside each other, nor all in one image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.spread import Spread

Make = Callable[..., CaseSlices]


def drawn(count: int, *places: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[list(places)] = True
    return mask


def test_what_is_drawn_and_what_lies_near_it_is_closed(make_case: Make) -> None:
    case = make_case("a", [[0.1] * 24], drawn=drawn(24, 10))
    spread = Spread([case, make_case("b", [[0.1] * 24])], 2)
    assert np.flatnonzero(~spread.open_slices(0)).tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]  # 24 // (2 * 2)
    assert spread.open_slices(1).all()


def test_each_image_has_its_share_until_more_are_needed(make_case: Make) -> None:
    cases = [make_case("a", [[0.1] * 40]), make_case("b", [[0.1] * 40])]
    spread = Spread(cases, 4)
    assert spread.share == 2
    spread.take(0, 3)
    spread.take(0, 20)
    assert not spread.open_slices(0).any() and spread.open_slices(1).all()
    assert spread.relax() and spread.open_slices(0).any()


def test_an_image_that_is_drawn_whole_counts_for_none(make_case: Make) -> None:
    cases = [make_case("a", [[0.1] * 4], drawn=np.ones(4, bool)), make_case("b", [[0.1] * 30])]
    spread = Spread(cases, 3)
    assert spread.share == 3 and not spread.open_slices(0).any()
    assert Spread(cases[:1], 3).share == 0


def test_in_the_end_nothing_but_what_is_taken_is_closed(make_case: Make) -> None:
    spread = Spread([make_case("a", [[0.1] * 5])], 5)
    spread.take(0, 2)
    while spread.relax():
        pass
    assert np.flatnonzero(~spread.open_slices(0)).tolist() == [2]
