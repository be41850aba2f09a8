"""What apply said of the label maps that are evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.evaluation.told_results import told_beside
from MedSegTrainerLib.model.likely_dice import Likely
from MedSegTrainerLib.results_file import CaseResult, ClassResult, write_results


def pair(folder: Path, name: str) -> Pair:
    return Pair(name=name, prediction=folder / f"{name}.nii.gz", reference=folder / "ref.nii.gz", image=None)


def test_by_the_file_that_is_evaluated(tmp_path: Path) -> None:
    classes = [ClassResult(name="liver", likely_dice=0.9, low=0.8, high=0.95), ClassResult(name="cyst")]
    write_results(tmp_path, [CaseResult(name="a", label_map="a.nii.gz", classes=classes), CaseResult(name="b")])
    events: list[Any] = []
    told = told_beside(tmp_path, [pair(tmp_path, "a"), pair(tmp_path, "c")], events.append)
    assert told == {"a": {"liver": Likely(likely_dice=0.9, low=0.8, high=0.95)}} and events == []


def test_files_in_folders_as_bids_has_them(tmp_path: Path) -> None:
    classes = [ClassResult(name="liver", likely_dice=0.9, low=0.8, high=0.95)]
    write_results(tmp_path, [CaseResult(name="sub-1_T1w", label_map="sub-1/anat/sub-1_dseg.nii.gz", classes=classes)])
    path = tmp_path / "sub-1" / "anat" / "sub-1_dseg.nii.gz"
    told = told_beside(tmp_path, [Pair(name="sub-1", prediction=path, reference=path, image=None)], lambda event: None)
    assert told["sub-1"]["liver"].likely_dice == 0.9


def test_nothing_beside_and_something_damaged(tmp_path: Path) -> None:
    events: list[Any] = []
    assert told_beside(tmp_path, [pair(tmp_path, "a")], events.append) == {} and events == []
    (tmp_path / "results.json").write_text("{")
    assert told_beside(tmp_path, [pair(tmp_path, "a")], events.append) == {}
    assert len(events) == 1 and events[0].message.startswith("The likely Dice is left out: ")
