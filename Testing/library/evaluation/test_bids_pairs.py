"""Predictions and references of BIDS: which belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.evaluation.bids_pairs import bids_pairs


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for subject in ("sub-1", "sub-2"):
        touch(tmp_path, f"{subject}/anat/{subject}_T1w.nii.gz")
        for made, label in (("medseg", "desc-medseg_dseg"), ("manual", "desc-manual_dseg")):
            touch(tmp_path, f"derivatives/{made}/{subject}/anat/{subject}_{label}.nii.gz")
    return tmp_path


def names(root: Path, labels: Path, events: list[Any]) -> list[tuple[str, str, str, str | None]]:
    return [
        (pair.name, pair.prediction.name, pair.reference.name, pair.image and pair.image.name)
        for pair in bids_pairs(root / "derivatives" / "medseg", labels, events.append)
    ]


def test_with_a_derivative_and_with_the_whole_data_set(root: Path) -> None:
    both = [(f"sub-{n}", f"sub-{n}_desc-medseg_dseg.nii.gz", f"sub-{n}_desc-manual_dseg.nii.gz") for n in (1, 2)]
    events: list[Any] = []
    assert names(root, root / "derivatives" / "manual", events) == [(*one, None) for one in both]
    assert names(root, root, events) == [(*one, f"{one[0]}_T1w.nii.gz") for one in both]
    assert events == []


def test_references_without_prediction_are_told(root: Path) -> None:
    touch(root, "derivatives/manual/sub-3/anat/sub-3_dseg.nii.gz")
    events: list[Any] = []
    assert len(names(root, root, events)) == 2
    assert [event.message for event in events] == ["References without a prediction were left out: sub-3."]


def test_predictions_without_reference(root: Path) -> None:
    touch(root, "derivatives/medseg/sub-3/anat/sub-3_desc-medseg_dseg.nii.gz")
    with pytest.raises(DataError, match=r"No reference in .* for sub-3"):
        names(root, root, [])


def test_several_references(root: Path) -> None:
    touch(root, "derivatives/other/sub-2/anat/sub-2_dseg.nii.gz")
    with pytest.raises(DataError, match="has several label maps of sub-2"):
        names(root, root, [])


def test_other_folders_are_none_of_bids(root: Path) -> None:
    touch(root, "labels/sub-1.nii.gz")
    assert bids_pairs(root / "derivatives" / "medseg", root / "labels", lambda event: None) == []
    assert bids_pairs(root / "labels", root, lambda event: None) == []
