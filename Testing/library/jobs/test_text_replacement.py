"""Finding any of many words in a text."""

from __future__ import annotations

import time

from MedSegTrainerLib.jobs.text_replacement import pattern_of


def test_the_longest_word_is_found_and_no_part_of_another() -> None:
    pattern = pattern_of(["case_1", "case_10", "case_1 b", "ca.e", ""])
    text = "case_1, case_10 and case_1 b; not case_100, mycase_1 or case; case_1_0000.nii and ca.e"
    assert pattern.findall(text) == ["case_1", "case_10", "case_1 b", "case_1", "ca.e"]


def test_without_words_nothing_is_found() -> None:
    assert pattern_of([]).findall("anything") == [] and pattern_of([""]).findall("") == []


def test_many_words_take_no_longer_than_few() -> None:
    words = [f"{index * 7919 % 100_003:05d}_patient" for index in range(20_000)]
    text = "epoch=1 train_loss=0.4 of 12345 voxels; " * 20_000 + words[77]
    started = time.perf_counter()
    assert pattern_of(words).findall(text) == [words[77]]
    assert time.perf_counter() - started < 20


def test_names_as_long_as_a_file_system_allows() -> None:
    words = ["a" * length for length in range(1, 256)]
    assert pattern_of(words).findall("a" * 255 + " " + "a" * 256) == ["a" * 255]
