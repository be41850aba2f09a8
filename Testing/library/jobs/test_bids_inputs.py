"""The images of a BIDS data set by the channels of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.jobs.apply_inputs import find_inputs
from MedSegTrainerLib.jobs.bids_inputs import bids_inputs


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_kind_that_the_channel_names(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "sub-1/anat/sub-1_T1w.nii.gz",
        "sub-1/anat/sub-1_T2w.nii.gz",
        "sub-2/ses-a/anat/sub-2_ses-a_T2w.nii.gz",
    )
    touch(tmp_path, "sub-1/anat/sub-1_dseg.nii.gz", "sub-1/func/sub-1_bold.nii.gz", "derivatives/x/sub-1_T2w.nii.gz")
    assert {name: files[0].name for name, files in bids_inputs(tmp_path, ["t2w"]).items()} == {
        "sub-1_T2w": "sub-1_T2w.nii.gz",
        "sub-2_ses-a_T2w": "sub-2_ses-a_T2w.nii.gz",
    }


def test_the_only_kind_that_there_is(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii.gz", "sub-1/anat/sub-1_run-2_T1w.nii.gz")
    assert [item.name for item in find_inputs([tmp_path], ["channel 0"])] == ["sub-1_run-1_T1w", "sub-1_run-2_T1w"]


def test_channels_of_a_subject_in_their_order(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub-{n}/anat/sub-{n}_{kind}.nii.gz" for n in (1, 2) for kind in ("acq-a_T1w", "FLAIR", "T2w")))
    found = bids_inputs(tmp_path, ["FLAIR", "T1w"])
    assert {name: [file.name for file in files] for name, files in found.items()} == {
        f"sub-{n}": [f"sub-{n}_FLAIR.nii.gz", f"sub-{n}_acq-a_T1w.nii.gz"] for n in (1, 2)
    }


def test_a_subject_that_lacks_a_channel(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_FLAIR.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")
    with pytest.raises(UsageError, match=r"sub-2 have not just one image of each channel \(T1w, FLAIR\)"):
        bids_inputs(tmp_path, ["T1w", "FLAIR"])


@pytest.mark.parametrize("names", [["CT"], ["T1w", "CT"]])
def test_a_channel_that_is_none_of_the_kinds(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz")
    with pytest.raises(UsageError, match="with T1w, T2w, and a channel of the model is 'CT'"):
        bids_inputs(tmp_path, names)


def test_one_name_in_two_data_sets(tmp_path: Path) -> None:
    for root in ("a", "b"):
        touch(tmp_path, f"{root}/sub-1/anat/sub-1_T1w.nii.gz")
    with pytest.raises(UsageError, match="Several inputs are named sub-1_T1w"):
        find_inputs([tmp_path / "a", tmp_path / "b"], ["T1w"])


def test_no_data_set_of_bids(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/image.nii.gz")
    assert bids_inputs(tmp_path, ["T1w"]) == {} == bids_inputs(tmp_path, ["T1w", "T2w"])
