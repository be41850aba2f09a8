"""Whose a case is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.splits.patients import patient_pattern_for, patients_of
from MedSegTrainerLib.errors import DataError, MedSegError, UsageError


def cases(**patients: str) -> list[Case]:
    return [
        Case(name=name, images=(Path(name),), label=Path(name), patient=patient) for name, patient in patients.items()
    ]


FOUR = cases(ann_1="", ann_2="", bob_1="", bob_2="")
EXPECTED = {"ann_1": "ann", "ann_2": "ann", "bob_1": "bob", "bob_2": "bob"}


@pytest.mark.parametrize("pattern", ["^([a-z]+)_", "^[a-z]+"])
def test_by_pattern(pattern: str) -> None:
    assert patients_of(FOUR, DataConfig(patient_pattern=pattern)) == EXPECTED


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.csv", "case,patient\nann_1,ann\nann_2,ann\nbob_1,bob\nbob_2,bob\nother,x\n"),
        ("a.csv", "\ufeffCase;Patient;age\r\nann_1;ann;1\r\nann_2;ann;2\r\nbob_1;bob;3\r\nbob_2; bob ;4\r\n"),
        ("a.json", '{"ann_1": "ann", "ann_2": "ann", "bob_1": "bob", "bob_2": "bob"}'),
    ],
)
def test_by_table(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert patients_of(FOUR, DataConfig(patient_table=str(tmp_path / name))) == EXPECTED


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"], "sub-01"),
        (["patient001_frame01", "patient001_frame12", "patient002_frame01"], "patient001"),
        (["Patient-7_a", "Patient-7_b", "Patient-8_a"], "Patient-7"),
        (["sub-01", "sub-02"], ""),  # a case each
        (["sub-01_ses-1", "sub-01_ses-2"], ""),  # one patient alone: nothing else can be held out
        (["BRATS_001", "BRATS_002"], ""),
        (["sub-01_ses-1", "sub-01_ses-2", "other"], ""),
    ],
)
def test_names_that_look_like_patients(names: list[str], first: str) -> None:
    pattern = patient_pattern_for(names)
    assert bool(pattern) == bool(first)
    if pattern:
        patient_of = patients_of(cases(**dict.fromkeys(names, "")), DataConfig(patient_pattern=pattern))
        assert patient_of[names[0]] == patient_of[names[1]] == first != patient_of[names[2]]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes that are files")
def test_a_table_that_is_a_pipe(tmp_path: Path) -> None:
    for name in ("a.csv", "a.json"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UsageError, match="is a pipe"):
            patients_of(FOUR, DataConfig(patient_table=str(tmp_path / name)))


def test_as_the_data_set_says() -> None:
    assert patients_of(cases(a="x", b="x"), DataConfig()) == {"a": "x", "b": "x"}
    assert patients_of(FOUR, DataConfig()) == {}
    with pytest.raises(DataError, match="patients of 1 cases only, not of b"):
        patients_of(cases(a="x", b=""), DataConfig())


@pytest.mark.parametrize(
    "pattern, message", [("(", "'(' is no regular expression"), ("^ann", "finds no patient in 2 names: bob_1, bob_2")]
)
def test_wrong_patterns(pattern: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        patients_of(FOUR, DataConfig(patient_pattern=pattern))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.csv", "case,patient\nann_1,ann\n", "names no patient for 3 cases: ann_2, bob_1, bob_2"),
        ("a.csv", "name,patient\nann_1,ann\n", "needs the columns 'case' and 'patient' in its first line"),
        ("a.json", "[1]", "must be an object {case: patient, ...}"),
        ("a.json", "{", "is not valid JSON"),
    ],
)
def test_wrong_tables(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(MedSegError) as caught:
        patients_of(FOUR, DataConfig(patient_table=str(tmp_path / name)))
    assert message in str(caught.value) and name in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        patients_of(FOUR, DataConfig(patient_table=str(tmp_path / "a.csv")))
