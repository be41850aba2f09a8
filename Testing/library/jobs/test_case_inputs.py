"""A folder for each case as the input of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.jobs.apply_inputs import find_inputs


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_cases_as_totalsegmentator_has_them(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"s{n}/{name}.nii.gz" for n in (1, 2) for name in ("ct", "segmentations/liver", "combined_labels"))
    )
    touch(tmp_path, "meta.csv", ".hidden/ct.nii.gz", "empty/notes.txt")
    assert {item.name: item.files for item in find_inputs([tmp_path], ["ct"])} == {
        f"s{n}": (tmp_path / f"s{n}" / "ct.nii.gz",) for n in (1, 2)
    }


def test_channels_in_the_order_of_the_training(tmp_path: Path) -> None:
    touch(tmp_path, *(f"p1/p1_{name}.nii.gz" for name in ("t2", "seg", "flair")))
    (found,) = find_inputs([tmp_path], ["flair", "t2"])
    assert (found.name, [file.name for file in found.files]) == ("p1", ["p1_flair.nii.gz", "p1_t2.nii.gz"])


def test_other_numbers_of_images_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "p1/t1.nii.gz", "p1/t2.nii.gz", "p1/flair.nii.gz", "p2/t1.nii.gz", "p2/t2.nii.gz")
    with pytest.raises(UsageError, match="the cases p1 have other numbers of images than the 2 channels"):
        find_inputs([tmp_path], ["t1", "t2"])


def test_folders_of_folders_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/ct.nii.gz")
    with pytest.raises(UsageError, match="folders in it do"):
        find_inputs([tmp_path], ["ct"])
