"""results.json and results.csv: worst first, whole, and refused where they are no such file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.results_file import (
    CaseResult,
    ClassResult,
    advice,
    read_results,
    worst_first,
    write_results,
)

GOOD = CaseResult(
    name="p01", label_map="p01.nii.gz", image="/data/p01.nii.gz", likely_dice=0.9, low=0.85, high=0.95,
    classes=[
        ClassResult(name="liver", likely_dice=0.9, low=0.85, high=0.95, volume_ml=1421.3),
        ClassResult(name="cyst", volume_ml=0.0),
    ],
)  # fmt: skip
BAD = CaseResult(name="p02", label_map="p02.nii.gz", image="/data/p02.nii.gz", likely_dice=0.4, low=0.1, high=0.7)
UNKNOWN = CaseResult(name="p03", label_map="p03.nii.gz", image="/data/p03.nii.gz")
FAILED = CaseResult(name="p04", image="/data/p04.nii.gz", error="p04.nii.gz is damaged.")


def test_worst_first() -> None:
    assert [case.name for case in worst_first([UNKNOWN, GOOD, FAILED, BAD])] == ["p04", "p02", "p01", "p03"]


def test_both_files_say_the_same(tmp_path: Path) -> None:
    write_results(tmp_path / "out", [GOOD, UNKNOWN, FAILED, BAD])
    assert read_results(tmp_path / "out") == [FAILED, BAD, GOOD, UNKNOWN]
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["schema_version"] == 1 and document["cases"][2]["classes"][0]["volume_ml"] == 1421.3
    assert document["cases"][3]["likely_dice"] is None
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["class"]) for row in rows] == [
        ("p04", ""), ("p02", ""), ("p01", "liver"), ("p01", "cyst"), ("p03", ""),
    ]  # fmt: skip
    assert rows[0]["error"] == "p04.nii.gz is damaged." and rows[2]["likely_dice"] == "0.9"
    assert rows[3]["likely_dice"] == "" and rows[3]["volume_ml"] == "0.0"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.csv", "results.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("[]", "was not made by 'apply'"),
        ('{"schema_version": 2, "cases": []}', "was not made by 'apply'"),
        ('{"schema_version": 1}', "is damaged"),
        ('{"schema_version": 1, "cases": [5]}', "is damaged"),
        ('{"schema_version": 1, "cases": [{"name": 3}]}', "is damaged"),
        ('{"schema_version": 1, "cases": [{"name": "a", "classes": [{"name": "b", "low": "x"}]}]}', "is damaged"),
        ('{"schema_version": 1, "cases": [{"name": "a", "classes": 7}]}', "is damaged"),
        ("{", "not valid JSON"),
    ],
)
def test_what_is_no_such_file_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_results(tmp_path)


def test_what_a_later_version_adds_is_left_out(tmp_path: Path) -> None:
    case = {"name": "a", "likely_dice": 0.5, "mood": "good", "classes": [{"name": "liver", "mood": "bad"}]}
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 1, "cases": [case]}))
    assert read_results(tmp_path) == [CaseResult(name="a", likely_dice=0.5, classes=[ClassResult(name="liver")])]


@pytest.mark.parametrize(
    ("likely", "words"),
    [
        (None, ""),
        (0.7, ""),
        (0.95, ""),
        (0.69, "look at this one: probably below 0.7"),
        (0.31, "look at this one: probably below 0.4"),
        (0.0, "look at this one: probably below 0.1"),
    ],
)
def test_words(likely: float | None, words: str) -> None:
    assert advice(likely) == words
