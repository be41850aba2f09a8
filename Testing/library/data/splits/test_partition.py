"""Parts of given sizes from cases that stay together."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.data.splits.partition import Unit, count_cases, cover, evenly, in_turn, stratify


def alone(count: int, *labels: int) -> list[Unit]:
    return [Unit(cases=(f"{labels}{index}",), labels=frozenset(labels)) for index in range(count)]


def patients(*sizes: int) -> list[Unit]:
    return [Unit(cases=tuple(f"p{patient}_{scan}" for scan in range(size))) for patient, size in enumerate(sizes)]


class TestInTurn:
    def test_single_cases_fill_parts_exactly(self) -> None:
        units = alone(10)
        assert in_turn(units, (2, 3, 5)) == [units[:2], units[2:5], units[5:]]
        assert in_turn(units, (0, 3, 5, 2)) == [[], units[:3], units[3:8], units[8:]]

    def test_a_patient_goes_where_it_brings_the_size_nearer(self) -> None:
        units = patients(3, 2, 5, 4)
        assert [count_cases(part) for part in in_turn(units, (4, 4, 6))] == [5, 5, 4]
        assert [count_cases(part) for part in in_turn(units, (3, 2, 9))] == [3, 2, 9]
        assert [count_cases(part) for part in in_turn(patients(3, 5, 4, 2), (4, 4, 6))] == [3, 5, 6]

    def test_later_parts_are_not_left_empty(self) -> None:
        assert [len(part) for part in in_turn(patients(1, 1, 9), (5, 3, 3))] == [1, 1, 1]
        assert [len(part) for part in in_turn(patients(4, 4), (2, 2, 4))] == [0, 1, 1]


def test_evenly() -> None:
    assert [count_cases(part) for part in evenly(patients(5, 1, 1, 3, 2), 3)] == [5, 4, 3]


class TestStratify:
    def test_every_class_in_every_part(self) -> None:
        units = [*alone(12, 1), *alone(4, 1, 2), *alone(4, 3)]
        parts = stratify(units, (5, 5, 10))
        assert [len(part) for part in parts] == [5, 5, 10]
        for label, counts in ((2, [1, 1, 2]), (3, [1, 1, 2])):
            assert [sum(label in unit.labels for unit in part) for part in parts] == counts

    def test_cases_without_any_class_are_spread_too(self) -> None:
        parts = stratify([*alone(8, 1), *alone(4)], (6, 6))
        assert [sum(not unit.labels for unit in part) for part in parts] == [2, 2]

    @pytest.mark.parametrize("scans, sizes", [((4, 4, 4), (0, 1, 1)), ((4, 4, 4), (1, 1, 1)), ((5, 5), (0, 2, 8))])
    def test_no_part_with_a_size_stays_empty(self, scans: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        units = patients(*scans)
        parts = stratify(units, sizes)
        assert [bool(part) for part in parts] == [size > 0 for size in sizes]
        assert sorted(unit.cases for part in parts for unit in part) == [unit.cases for unit in units]


class TestCover:
    def units(self, *labels: set[int]) -> list[Unit]:
        return [Unit(cases=(f"{i}{sorted(each)}",), labels=frozenset(each)) for i, each in enumerate(labels)]

    def covered(self, train: list[set[int]], val: list[set[int]]) -> tuple[list[list[int]], list[list[int]]]:
        parts = cover(self.units(*train), self.units(*val))
        return tuple([sorted(unit.labels) for unit in part] for part in parts)  # type: ignore[return-value]

    def test_what_is_well_stays(self) -> None:
        train, val = self.units({1, 2}, {1}, {2}), self.units({1}, {2})
        assert cover(train, val) == (train, val)

    def test_held_out_cases_get_a_class_that_they_lack(self) -> None:
        assert self.covered([{1}, {1, 2}, {1, 2}], [{1}]) == ([[1], [1], [1, 2]], [[1, 2]])

    def test_the_only_case_with_a_class_trains(self) -> None:
        assert self.covered([{1}, {1, 2}], [{1}]) == ([[1], [1, 2]], [[1]])
        assert self.covered([{1}, {1}], [{1, 2}]) == ([[1, 2], [1]], [[1]])

    def test_a_patient_is_exchanged_for_one_with_as_many_cases(self) -> None:
        train = [
            Unit(cases=("a", "b", "c"), labels=frozenset({1, 2})),
            Unit(cases=("d",), labels=frozenset({1, 2})),
        ]
        val = [Unit(cases=("e",), labels=frozenset({1}))]
        assert cover(train, val) == ([train[0], val[0]], [train[1]])
