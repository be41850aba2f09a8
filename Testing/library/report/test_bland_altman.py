"""Agreement of volumes."""

from __future__ import annotations

import re

import pytest

from MedSegTrainerLib.report.bland_altman import agreement, draw_agreement, draw_volumes, most_biased

PAIRS = [(10.0, 11.0), (20.0, 23.0), (30.0, 32.0), (40.0, 46.0)]  # differences 1, 3, 2, 6


class TestAgreement:
    def test_by_hand(self) -> None:
        limits = agreement(PAIRS)
        assert limits is not None
        assert (limits.count, limits.bias) == (4, 3.0)
        half_width = 1.96 * (14 / 3) ** 0.5
        assert limits.low == pytest.approx(3 - half_width) and limits.high == pytest.approx(3 + half_width)

    def test_two_pairs_say_nothing(self) -> None:
        assert agreement(PAIRS[:2]) is None


class TestDrawings:
    def test_a_plot_for_each_structure_in_the_colour_of_the_page(self) -> None:
        volumes = {"a": PAIRS, "b": PAIRS[:3], "c": PAIRS[:2]}
        svg = draw_agreement(volumes, {"a": "#aa0011", "b": "#00bb22", "c": "#0000cc"}, "mL")
        assert svg is not None and "currentColor" in svg
        assert "#aa0011" in svg and "#00bb22" in svg and "#0000cc" not in svg
        assert draw_agreement({"c": PAIRS[:2]}, {"c": "#0000cc"}, "mL") is None

    def test_of_many_those_that_lean_most_in_their_own_order(self) -> None:
        volumes = {f"s{i}": [(10.0, 10.0 + (7 * i % 11)), (20.0, 20.0), (30.0, 31.0)] for i in range(11)}
        chosen = most_biased(volumes)
        assert len(chosen) == 8 and chosen == sorted(chosen, key=lambda name: int(name[1:]))
        assert {name for name in volumes if name not in chosen} == {"s0", "s8", "s5"}  # 0, 1 and 2 too much

    @pytest.mark.parametrize("pairs", [[(5.0, 5.0)] * 4, [(0.0, 3.0), (0.02, 0.0), (900.0, 870.0)], [(3.0, 0.0)] * 3])
    def test_equal_missing_and_very_different_volumes(self, pairs: list[tuple[float, float]]) -> None:
        for svg in (
            draw_volumes({"a": pairs}, {"a": "#aa0011"}, "mL"),
            draw_agreement({"a": pairs}, {"a": "#aa0011"}, "mL"),
        ):
            assert svg is not None and len(re.findall("#aa0011", svg)) >= 1
