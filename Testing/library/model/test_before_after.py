"""How good a training made its model is told from figures of the same held-out cases alone."""

from __future__ import annotations

from typing import Any

import pytest

from MedSegTrainerLib.model.before_after import before_after, before_after_text, figures

START = figures(0.81, {"liver": 0.9, "spleen": 0.58, "cyst": None}, ["a", "b"])
BEST = figures(0.84, {"liver": 0.91, "spleen": 0.70, "cyst": 0.1}, ["a", "b"])


def test_the_mean_and_the_classes_that_changed_most_are_told() -> None:
    told = before_after({"start": START, "best": BEST, "val_dice": 0.84})
    assert told == (START, BEST)
    assert before_after_text(*told) == "0.84, was 0.81; spleen 0.70, was 0.58; cyst 0.10; liver 0.91, was 0.90"


def test_of_one_class_the_mean_says_all() -> None:
    assert before_after_text(figures(0.5, {"a": 0.5}, ["x"]), figures(0.7, {"a": 0.7}, ["x"])) == "0.70, was 0.50"


def test_many_classes_are_counted() -> None:
    dice: dict[str, float | None] = {f"c{index}": index / 10 for index in range(9)}
    text = before_after_text(figures(0.0, dict.fromkeys(dice, 0.0), ["x"]), figures(0.4, dice, ["x"]))
    assert text.startswith("0.40, was 0.00; c8 0.80, was 0.00; ") and text.endswith("; and 3 more")


def test_nothing_is_told_of_cases_without_any_class() -> None:
    assert before_after_text(figures(None, {"a": None}, ["x"]), figures(None, {"a": None}, ["x"])) == ""


@pytest.mark.parametrize(
    "metrics",
    [
        {}, {"start": START}, {"start": START, "best": {**BEST, "cases": ["a"]}}, {"start": 3, "best": BEST},
        {"start": {**START, "dice": {"liver": "x"}}, "best": BEST}, {"start": START, "best": {**BEST, "val_dice": "x"}},
    ],
)  # fmt: skip
def test_what_is_damaged_or_of_other_cases_is_not_compared(metrics: dict[str, Any]) -> None:
    assert before_after(metrics) is None
