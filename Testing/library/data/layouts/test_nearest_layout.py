"""What is said of a folder in which no labelled images were found."""

from __future__ import annotations

from pathlib import Path

import pytest

from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError


def description(root: Path, *names: str) -> str:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 400)
    with pytest.raises(DataError) as caught:
        find_cases(root)
    assert "Expected one of" in str(caught.value)
    return str(caught.value)


def test_what_is_there_is_counted(tmp_path: Path) -> None:
    message = description(tmp_path, "a.nii.gz", "b.nii.gz", "notes.txt", "deep/deeper/c.nrrd", ".hidden/d.nrrd")
    assert "It holds 4 files (2 .nii.gz, 1 .txt, 1 .nrrd), in deep/." in message
    assert "None of its 2 image files is named as a label map (a.nii.gz, b.nii.gz)" in message


def test_nothing(tmp_path: Path) -> None:
    assert "It holds no files." in description(tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["images/a.hdr", "images/a.img", "labels/a.hdr", "labels/a.img"], ["Analyze", "fslchfiletype"]),
        (["images/a.mgz", "labels/a.mgz"], ["FreeSurfer's MGZ", "mri_convert"]),
        (
            ["s1/ct.nii.gz", "s1/organs/liver.nii.gz", "s1/organs/spleen.nii.gz"],
            ["s1/organs/ seems to hold a mask for each class (liver.nii.gz, spleen.nii.gz)", "--set label_name=organs"],
        ),
        (["images/a.nii.gz"], ["The label maps of images/ are missing"]),
        (["labelsTr/a.nii.gz"], ["The images of labelsTr/ are missing"]),
        (
            ["img/a.png", "annotations/a.png", "gt/a.png"],
            ["Of img, annotations, gt nobody knows which belong together", "keep one of each"],
        ),
        (["sub-1/anat/T1/a.nii.gz"], ["Images lie deeper, such as sub-1/anat/T1/a.nii.gz", "cases.json"]),
        (["series/a.dcm"], ["There are DICOM files in series/ and no label map"]),
        (
            ["a_T1w.nii.gz", "a_T2w.nii.gz", "a_mask.nii.gz"],
            ["Of 3 image files 1 are named as label maps (a_mask.nii.gz)", "give each case a folder"],
        ),
    ],
)  # fmt: skip
def test_what_comes_nearest(tmp_path: Path, names: list[str], says: list[str]) -> None:
    message = description(tmp_path, *names)
    assert [part for part in says if part not in message] == [], message
