"""Classes from label values, and their colours."""

from __future__ import annotations

import itertools

import numpy as np

from MedSegTrainerLib.classes import classes_from_values, default_color


class TestClassesFromValues:
    def test_in_rising_order_without_background_and_once_each(self) -> None:
        classes = classes_from_values([7, 0, -2, 7, 300], {7: "liver"})
        assert [(item.value, item.name) for item in classes] == [(-2, "label -2"), (7, "liver"), (300, "label 300")]

    def test_colours_are_those_of_the_order(self) -> None:
        classes = classes_from_values([5, 9], {})
        assert [item.color for item in classes] == [default_color(0), default_color(1)]

    def test_of_background_alone(self) -> None:
        assert classes_from_values([0], {0: "background"}) == []


class TestDefaultColor:
    def test_is_rgb(self) -> None:
        for index in range(50):
            color = default_color(index)
            assert all(isinstance(part, int) and 0 <= part <= 255 for part in color)

    def test_the_first_ten_are_well_apart(self) -> None:
        colors = np.array([default_color(index) for index in range(10)])
        distances = [np.abs(a - b).max() for a, b in itertools.combinations(colors, 2)]
        assert min(distances) >= 30
