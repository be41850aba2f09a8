"""nnU-Net's list of files in dataset.json: cases that lie elsewhere, and lists that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError

LABELS = {"background": 0, "liver": 1, "tumor": 2}


def listed(root: Path, dataset: Any) -> Path:
    folder = root / "Dataset007_Far"
    folder.mkdir()
    description = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": 2, "dataset": dataset}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_lie_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELS_OF_MINE", str(tmp_path / "elsewhere"))
    absolute = tmp_path / "images" / "b.nrrd"
    touch(tmp_path / "ct" / "a.nrrd", tmp_path / "elsewhere" / "a.nii.gz", absolute, tmp_path / "b_label.nii.gz")
    entries = {
        "b": {"images": [str(absolute)], "label": "../b_label.nii.gz"},
        "a": {"images": ["../ct/a.nrrd"], "label": "$LABELS_OF_MINE/a.nii.gz"},
    }
    dataset = find_cases(listed(tmp_path, entries))
    assert dataset.layout == "nnU-Net, listed in dataset.json"
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dataset.cases[0].label == tmp_path / "elsewhere" / "a.nii.gz"
    assert dataset.cases[0].images[0].resolve() == tmp_path.resolve() / "ct" / "a.nrrd"
    assert (dataset.label_names, dataset.channel_names) == ({1: "liver", 2: "tumor"}, ("CT",))


def test_missing_files_are_named_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOT_TO_BE_SHOWN", "secret")
    touch(tmp_path / "a.nrrd")
    entries = {"a": {"images": ["../a.nrrd"], "label": "$NOT_TO_BE_SHOWN/a.nrrd"}}
    with pytest.raises(DataError) as caught:
        find_cases(listed(tmp_path, entries))
    assert "lists 1 files that are not there" in str(caught.value)
    assert "$NOT_TO_BE_SHOWN" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({}, "'dataset' lists no cases"),
        ({"a": ["a.nii.gz"]}, "'images' of a must be a list with a file for each channel, not None"),
        ({"a": {"images": "a.nii.gz", "label": "b.nii.gz"}}, "'images' of a must be a list"),
        ({"a": {"images": ["a.nii.gz"]}}, "'dataset' gives a no 'label'"),
        ({"a": {"images": ["a.nii.gz"], "label": 3}}, "'label' of a must be a file, not 3"),
        ({"../a": {"images": ["a.nii.gz"], "label": "b.nii.gz"}}, "'../a' cannot be the name of a file"),
        (
            {"a": {"images": ["dataset.json"], "label": "dataset.json"},
             "b": {"images": ["dataset.json", "dataset.json"], "label": "dataset.json"}},
            "have different numbers of images (1, 2)",
        ),
    ],
)  # fmt: skip
def test_entries_that_are_none(tmp_path: Path, entries: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        find_cases(listed(tmp_path, entries))
    assert says in str(caught.value)
