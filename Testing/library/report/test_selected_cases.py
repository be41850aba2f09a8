"""Which cases a report shows."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.report.selected_cases import noteworthy, worst_first


class TestNoteworthy:
    def test_worst_median_and_best_of_many(self) -> None:
        chosen = noteworthy({f"c{index}": index / 10 for index in (4, 0, 9, 2, 7, 1, 3, 8, 5, 6)})
        assert chosen == [
            ("c0", "worst"), ("c1", "second worst"), ("c2", "third worst"), ("c4", "median"), ("c8", "second best"),
            ("c9", "best"),
        ]  # fmt: skip

    @pytest.mark.parametrize("count", range(8))
    def test_never_more_than_six_and_none_twice(self, count: int) -> None:
        names = [name for name, _ in noteworthy({f"c{index}": index / 10 for index in range(count)})]
        assert len(names) == len(set(names)) == min(count, 6)

    def test_cases_without_a_number_are_not_shown(self) -> None:
        assert noteworthy({"a": None, "b": 0.5}) == [("b", "the only case")]


def test_cases_without_a_number_come_last() -> None:
    assert worst_first({"a": None, "b": 0.9, "c": 0.1}) == ["c", "b", "a"]
