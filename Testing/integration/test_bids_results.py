"""A model on a BIDS data set: its results are a derivative, and what was read is a data set again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import apply
from MedSegTrainerLib.data.case_labels import read_labels
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.results_file import read_results

SETTINGS = {"device": "cpu", "output_format": "bids"}


@pytest.fixture
def raw(dataset: Path, tmp_path: Path) -> Path:
    """Two subjects, one of them with two sessions."""
    root = tmp_path / "raw"
    for number, place in enumerate(
        ("sub-01/anat/sub-01", "sub-02/ses-a/anat/sub-02_ses-a", "sub-02/ses-b/anat/sub-02_ses-b")
    ):
        path = root / f"{place}_T1w.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(dataset / "images" / f"case_{number}.nii.gz", path)
    return root


def test_a_derivative_of_the_data_set(trained: JobFolder, dataset: Path, raw: Path, tmp_path: Path) -> None:
    output = raw / "derivatives" / "medseg"
    files = apply(trained.path, [raw], output, **SETTINGS)
    assert [file.relative_to(output).as_posix() for file in files] == [
        "sub-01/anat/sub-01_desc-medseg_dseg.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_desc-medseg_dseg.nii.gz",
        "sub-02/ses-b/anat/sub-02_ses-b_desc-medseg_dseg.nii.gz",
    ]
    (plain,) = apply(trained.path, [dataset / "images" / "case_1.nii.gz"], tmp_path / "plain", device="cpu")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(plain)))
    assert expected.any()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(files[1]))), expected)
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative" and description["DatasetLinks"] == {"raw": "../.."}
    assert description["GeneratedBy"][0]["Name"] == "MedSegTrainer"
    sidecar = json.loads((output / "sub-01/anat/sub-01_desc-medseg_dseg.json").read_text())
    assert sidecar == {"Manual": False, "Sources": ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]}
    assert {case.label_map for case in read_results(output)} == {f.relative_to(output).as_posix() for f in files}
    again = find_cases(raw)
    assert again.layout == "BIDS (T1w; 2 of 2 subjects have label maps)"
    assert again.label_names == {2: "label 2", 5: "label 5"}  # names that the model has of data without names
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_labels(again.cases[1], None)), expected)


def test_what_is_there_already_stays(trained: JobFolder, raw: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    apply(trained.path, [raw / "sub-01" / "anat"], output, **SETTINGS)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*_dseg.*")}
    apply(trained.path, [raw], output, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in times if path.suffix != ".tsv"}.items() <= times.items()
    (output / "sub-01/anat/sub-01_desc-medseg_dseg.json").unlink()
    with pytest.raises(UsageError, match="--overwrite"):
        apply(trained.path, [raw], output, **SETTINGS)


def test_images_without_bids_names(trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
    (file,) = apply(trained.path, [dataset / "images" / "case_1.nii.gz"], tmp_path / "out", **SETTINGS)
    assert file == tmp_path / "out" / "sub-case1" / "anat" / "sub-case1_desc-medseg_dseg.nii.gz"
    assert "DatasetLinks" not in json.loads((tmp_path / "out" / "dataset_description.json").read_text())


def test_the_raw_data_are_never_described_anew(trained: JobFolder, raw: Path) -> None:
    (raw / "dataset_description.json").write_text(json.dumps({"Name": "raw", "BIDSVersion": "1.9.0"}))
    with pytest.raises(UsageError, match="is a data set of BIDS that this program did not make"):
        apply(trained.path, [raw], raw, **SETTINGS)
    assert json.loads((raw / "dataset_description.json").read_text())["Name"] == "raw"


def test_two_images_of_a_subject_would_be_one_result(trained: JobFolder, raw: Path, tmp_path: Path) -> None:
    image = raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    shutil.copy(image, image.with_name("sub-01_T2w.nii.gz"))
    with pytest.raises(UsageError, match="would both be sub-01/anat/sub-01_desc-medseg_dseg"):
        apply(trained.path, [raw / "sub-01" / "anat"], tmp_path / "out", **SETTINGS)
    with pytest.raises(UsageError, match="is a BIDS data set with T1w, T2w, and a channel of the model is"):
        apply(trained.path, [raw], tmp_path / "out", **SETTINGS)
