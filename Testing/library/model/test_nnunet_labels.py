"""Labels and channels of nnU-Net's dataset.json by hand: numbers, regions, what is ignored, and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from MedSegTrainerLib.model.nnunet_labels import channel_names, class_entries


def classes(labels: Any) -> tuple[list[tuple[int, str]], bool, int | None, list[str]]:
    problems: list[str] = []
    found = class_entries({"labels": labels}, problems)
    entries = [(item["value"], item["name"]) for item in found["classes"]]
    return entries, found["overlapping"], found["ignore_label"], problems


def test_numbers_count_and_not_the_order_of_the_file() -> None:
    labels = {"background": 0, "cyst": 2, "liver": 1}
    assert classes(labels) == ([(1, "liver"), (2, "cyst")], False, None, [])


def test_numbers_may_be_texts() -> None:
    expected = [(1, "liver"), (2, "cyst")]
    assert classes({"background": "0", "liver": "1", "cyst": "2"}) == (expected, False, None, [])
    assert classes({"background": 0, "liver": ["1", "2"], "cyst": "2"}) == (expected, True, None, [])


def test_what_is_ignored_is_no_class() -> None:
    assert classes({"background": 0, "liver": 1, "ignore": 2}) == ([(1, "liver")], False, 2, [])


def test_regions_are_in_the_order_of_the_file() -> None:
    """As nnU-Net's heads are: BraTS has the whole tumor first."""
    labels = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": [3], "ignore": 4}
    expected = [(1, "whole tumor"), (2, "tumor core"), (3, "enhancing")]
    assert classes(labels) == (expected, True, 4, [])


def test_a_list_of_one_is_a_number() -> None:
    assert classes({"background": 0, "liver": [1], "cyst": [2]}) == ([(1, "liver"), (2, "cyst")], False, None, [])


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (None, "must pair"),
        ({}, "must pair"),
        ({"1": "liver"}, "must pair"),
        ({"background": 0, "liver": True}, "must pair"),
        ({"liver": 1}, "'background'"),
        ({"background": [0, 1], "liver": 1}, "'background'"),
        ({"background": 0, "liver": 2}, "without gaps"),
        ({"background": 0, "liver": -1}, "without gaps"),
        ({"background": 0, "liver": 1, "ignore": 5}, "the highest"),
        ({"background": 0, "liver": 1, "ignore": [2]}, "must be one number"),
    ],
)
def test_what_is_wrong_is_told(labels: Any, word: str) -> None:
    problems = classes(labels)[3]
    assert any(word in problem for problem in problems), problems


def test_channels_by_their_numbers() -> None:
    problems: list[str] = []
    assert channel_names({"channel_names": {"1": "CT", "0": "PET"}}, problems) == ["PET", "CT"]
    assert channel_names({"modality": {"0": "MR"}}, problems) == ["MR"]
    assert problems == []


@pytest.mark.parametrize("names", [None, [], {}, {"1": "CT"}, {"0": 3}, {"0": "CT", "2": "PET"}])
def test_channels_that_are_none(names: Any) -> None:
    problems: list[str] = []
    assert channel_names({"channel_names": names}, problems) == []
    assert len(problems) == 1
