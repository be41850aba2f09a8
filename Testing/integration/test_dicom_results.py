"""Results as DICOM segmentations: the same voxels as in any other format, and images that they cannot refer to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import apply, evaluate
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.results_file import read_results

Writer = Callable[..., Path]


@pytest.fixture
def series(dataset: Path, tmp_path: Path, write_series: Writer) -> Path:
    """A case of the training as DICOM."""
    image = sitk.ReadImage(str(dataset / "images" / "case_1.nii.gz"))
    return write_series(image, tmp_path / "patient")


@pytest.mark.parametrize("output_format", ["dicom-seg", "dicom-seg-labelmap"])
def test_it_is_the_result_that_other_formats_hold(
    trained: JobFolder, series: Path, tmp_path: Path, output_format: str
) -> None:
    (plain,) = apply(trained.path, [series], tmp_path / "plain", device="cpu")
    (found,) = apply(trained.path, [series], tmp_path / "seg", device="cpu", output_format=output_format)
    assert found == tmp_path / "seg" / "patient.seg.dcm"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(plain)))
    assert array.any()
    dataset = pydicom.dcmread(found)
    assert dataset.SegmentSequence[-1].SegmentAlgorithmName == "liver and cyst"
    by_value = {2: 1, 5: 2} if output_format == "dicom-seg" else {2: 2, 5: 5}
    pixels = highdicom.seg.segread(found).get_pixels_by_source_instance(
        [f"1.2.3.4.{index + 1}" for index in range(len(array))],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    for value, number in by_value.items():
        assert np.array_equal(pixels == number, array == value)
    (case,) = read_results(tmp_path / "seg")
    assert case.label_map == "patient.seg.dcm" and case.classes[0].volume_ml


@pytest.mark.parametrize("output_format", ["dicom-seg", "dicom-seg-labelmap"])
def test_it_is_evaluated_as_other_formats_are(
    trained: JobFolder, dataset: Path, series: Path, tmp_path: Path, output_format: str
) -> None:
    (tmp_path / "labels").mkdir()
    shutil.copy(dataset / "labels" / "case_1.nii.gz", tmp_path / "labels" / "patient.nii.gz")
    dice = []
    for name in ("seg.nrrd", output_format):
        apply(trained.path, [series], tmp_path / name, device="cpu", output_format=name)
        found = evaluate(tmp_path / name, tmp_path / "labels", tmp_path / f"report {name}", model=str(trained.path))
        dice.append({one: values["dice"]["mean"] for one, values in found["summary"].items()})
    assert dice[0] == dice[1] and len(dice[0]) == 2 and max(dice[0].values()) > 0.5


def test_what_slicer_opens_lies_beside_it(trained: JobFolder, series: Path, tmp_path: Path) -> None:
    settings = {"device": "cpu", "output_format": "dicom-seg", "nrrd_beside": True}
    apply(trained.path, [series], tmp_path / "out", **settings)
    beside = tmp_path / "out" / "nrrd" / "patient.seg.nrrd"
    (plain,) = apply(trained.path, [series], tmp_path / "plain", device="cpu")
    assert beside.read_bytes() == plain.read_bytes()
    beside.unlink()
    with pytest.raises(UsageError, match="--overwrite"):
        apply(trained.path, [series], tmp_path / "out", **settings)
    apply(trained.path, [series], tmp_path / "out", overwrite=True, **settings)
    assert beside.is_file()


def test_the_same_is_kept_and_the_other_type_is_not_taken_for_it(
    trained: JobFolder, series: Path, tmp_path: Path
) -> None:
    apply(trained.path, [series], tmp_path / "out", device="cpu", output_format="dicom-seg")
    before = (tmp_path / "out" / "patient.seg.dcm").read_bytes()
    apply(trained.path, [series], tmp_path / "out", device="cpu", output_format="dicom-seg")
    assert (tmp_path / "out" / "patient.seg.dcm").read_bytes() == before
    with pytest.raises(UsageError, match="--overwrite"):
        apply(trained.path, [series], tmp_path / "out", device="cpu", output_format="dicom-seg-labelmap")


def test_what_it_cannot_refer_to_is_told_and_the_others_are_done(
    trained: JobFolder, dataset: Path, series: Path, tmp_path: Path, write_series: Writer
) -> None:
    image = sitk.Cast(sitk.ReadImage(str(dataset / "images" / "case_0.nii.gz")), sitk.sitkInt16)
    nameless = write_series(image, tmp_path / "nameless", "1.2.9")
    for file in nameless.iterdir():
        header = pydicom.dcmread(file)
        del header.FrameOfReferenceUID
        header.save_as(file)
    inputs = [dataset / "images" / "case_0.nii.gz", nameless, series]
    with pytest.raises(DataError) as caught:
        apply(trained.path, inputs, tmp_path / "out", device="cpu", output_format="dicom-seg")
    message = str(caught.value)
    assert "2 of 3 images were not segmented" in message
    assert "case_0.nii.gz is no DICOM image" in message
    assert "nameless lacks what a DICOM segmentation must refer to: Frame of Reference UID (0020,0052)." in message
    assert [path.name for path in (tmp_path / "out").glob("*.dcm")] == ["patient.seg.dcm"]
