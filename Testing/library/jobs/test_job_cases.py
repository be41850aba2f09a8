"""The cases of a training that goes on: known by content or name, and divided as the model before divided them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.case_contents import contents_of
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.data.splits.used_cases import record_cases
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.job_cases import cases_of_job
from MedSegTrainerLib.model.lineage import EarlierCases, case_entries, earlier_cases, lineage_of

NAMES = "abcde"
BEFORE = Split(train=("a", "b", "c"), val=("d",), test=("e",), reason="")


def write_case(root: Path, name: str, content: str) -> None:
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True, exist_ok=True)
        (root / kind / f"{name}.nrrd").write_text(f"{kind} {content}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in NAMES:
        write_case(tmp_path / "data", name, name)
    return tmp_path / "data"


@pytest.fixture
def earlier(data: Path) -> EarlierCases:
    """Of a model that was trained on these cases."""
    dataset = find_cases(data, DataConfig(data_dir=str(data)))
    training = {"cases": case_entries(contents_of(dataset), BEFORE)}
    return earlier_cases(lineage_of(training, 0.9, ["x"], "first", "2026-01-02"))


def silent(event: Any) -> None:
    raise AssertionError(event)


def test_they_are_divided_as_before_under_whatever_names(data: Path, earlier: EarlierCases, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        write_case(tmp_path / "exported", f"row {number}", name)
    write_case(tmp_path / "exported", "row 5", "new")
    found = cases_of_job(DataConfig(data_dir=str(tmp_path / "exported")), None, silent, earlier)
    assert found.split.val == ("row 3",) and found.split.test == ("row 4",)
    assert found.split.train == ("row 0", "row 1", "row 2", "row 5") and len(found.contents) == 6


def test_a_label_that_was_corrected_makes_no_other_case(data: Path, earlier: EarlierCases) -> None:
    for name in "ad":
        (data / "labels" / f"{name}.nrrd").write_text("corrected")
    found = cases_of_job(DataConfig(data_dir=str(data)), None, silent, earlier)
    assert (found.split.train, found.split.val) == (BEFORE.train, BEFORE.val)


def test_who_holds_out_by_hand_what_trained_is_warned(data: Path, earlier: EarlierCases) -> None:
    told: list[Any] = []
    config = DataConfig(data_dir=str(data), fold=0, folds=5)
    folds = [cases_of_job(replace(config, fold=fold), None, told.append, earlier).split for fold in range(5)]
    assert sorted(name for split in folds for name in split.trained_before) == list(BEFORE.train)
    assert len(told) == 3 and all("trained the model that this training begins as" in item.message for item in told)


def test_files_are_read_only_where_their_content_is_asked_for(data: Path, tmp_path: Path) -> None:
    config = DataConfig(data_dir=str(data))
    assert not cases_of_job(config, None, silent).contents
    assert set(cases_of_job(replace(config, cache_dir=str(tmp_path)), None, silent).contents) == set(NAMES)


def test_a_resume_knows_what_the_job_recorded(data: Path, earlier: EarlierCases, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    dataset = find_cases(data, DataConfig(data_dir=str(data)))
    record = record_cases(dataset, BEFORE)
    record.write(folder.used_cases_file)
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    found = cases_of_job(DataConfig(data_dir=str(moved)), folder, silent, earlier)
    assert found.split == BEFORE and found.contents == record.cases
