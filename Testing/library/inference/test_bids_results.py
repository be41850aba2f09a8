"""Where results lie in BIDS, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.inference.bids_results import bids_place, refuse_equal_places, refuse_overlapping, sidecar_of


@pytest.mark.parametrize(
    ("image", "place"),
    [
        ("raw/sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_desc-medseg_dseg.nii.gz"),
        ("sub-01/ses-2/ct/sub-01_ses-2_ct.nii.gz", "sub-01/ses-2/ct/sub-01_ses-2_desc-medseg_dseg.nii.gz"),
        (
            "x/sub-a_acq-fast_run-1_space-MNI_desc-preproc_T2w.nii",
            "sub-a/anat/sub-a_acq-fast_run-1_space-MNI_desc-medseg_dseg.nii.gz",
        ),
        ("images/case_12.nrrd", "sub-case12/anat/sub-case12_desc-medseg_dseg.nii.gz"),
    ],
)
def test_places(image: str, place: str) -> None:
    path = Path(image)
    assert bids_place(path.name.partition(".")[0], path, "nii.gz").as_posix() == place


def test_a_name_without_letters() -> None:
    with pytest.raises(UsageError, match="has no letter or digit"):
        bids_place("___", Path("___.nii"), "nii.gz")


def test_names_that_differ_in_signs_alone() -> None:
    places = [(name, bids_place(name, Path(f"{name}.nii"), "nii.gz")) for name in ("case_1", "case-1", "case_2")]
    with pytest.raises(UsageError, match="The results of case_1 and case-1 would both be sub-case1/anat/"):
        refuse_equal_places(places)


def test_classes_that_overlap() -> None:
    refuse_overlapping(False)
    with pytest.raises(UsageError, match="a dseg of BIDS holds one number a voxel"):
        refuse_overlapping(True)


def test_the_sidecar_lies_beside() -> None:
    assert sidecar_of(Path("a/sub-1_dseg.nii.gz")) == Path("a/sub-1_dseg.json")
