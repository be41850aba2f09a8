"""Which mirrorings test-time augmentation averages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.data.checks.laterality import why_not_mirror
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.tta import mirror_axes
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.apply import cleaned, failure_text
from MedSegTrainerLib.jobs.apply_inputs import find_inputs


@pytest.mark.parametrize(
    "settings, trained, axes",
    [
        ({}, (0, 1, 2), ()),
        ({"tta_transforms": ["flip_x"]}, (0, 1, 2), ()),
        ({"tta": True}, (0, 2), (0, 2)),
        ({"tta": True, "tta_transforms": ["flip_x"]}, (0, 1, 2), (2,)),
        ({"tta": True, "tta_transforms": ["flip_y", "flip_z", "flip_y"]}, (0, 1, 2), (0, 1)),
        ({"tta": True, "tta_transforms": []}, (0, 1, 2), ()),
    ],
)
def test_axes(settings: dict[str, Any], trained: tuple[int, ...], axes: tuple[int, ...]) -> None:
    assert mirror_axes(ApplyConfig(**settings), trained) == (axes, None)


def test_a_mirroring_that_the_model_never_saw_is_left_out_in_words() -> None:
    """As along x, where labels come in left and right."""
    config = ApplyConfig(tta=True, tta_transforms=["flip_x", "flip_y"])
    axes, warning = mirror_axes(config, (0, 1))
    assert axes == (1,)
    assert warning == "Left out: flip_x. The model was trained without mirroring along it."


def test_nothing_to_mirror_is_told() -> None:
    axes, warning = mirror_axes(ApplyConfig(tta=True), ())
    assert axes == ()
    assert warning == "Nothing is mirrored for test-time augmentation, as the model was trained without it."


@pytest.mark.parametrize("transforms", ["auto", ["flip_x"]])
def test_classes_with_a_side_are_never_mirrored_into_each_other(transforms: Any) -> None:
    """Not even by a model that was trained so, by hand."""
    sides = {"x": why_not_mirror(["left kidney", "right kidney"]) or ""}
    axes, warning = mirror_axes(ApplyConfig(tta=True, tta_transforms=transforms), (2,), sides)
    assert axes == ()
    assert warning is not None and "mirroring would turn 'left kidney' into 'right kidney'" in warning
    assert mirror_axes(ApplyConfig(tta=True), (0, 2), sides) == ((0,), None)


def test_only_what_should_not_happen_has_a_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It goes where the log is written."""
    folder = JobFolder(tmp_path)
    assert failure_text(DataError("b.nii is damaged."), folder) == "b.nii is damaged."
    assert failure_text(MemoryError(), folder).startswith("There is not enough memory for this image.")
    assert "batch_size" not in failure_text(MemoryError(), folder)
    assert failure_text(PermissionError(13, "Permission denied", "x"), folder).startswith("x: Permission denied.")
    assert caplog.records == []
    reason = failure_text(KeyError("who"), folder)
    assert reason.startswith("An error that should not happen: KeyError: 'who'.") and "log.txt" in reason
    assert "Traceback" not in reason and "KeyError: 'who'" in caplog.text


class TestInputs:
    def test_a_dicom_folder_is_one_image_and_a_folder_of_volumes_is_many(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, write_series: Callable[..., Path]
    ) -> None:
        volume = sitk.Cast(oblique_case[0], sitk.sitkInt16)
        series = write_series(volume, tmp_path / "patient.1")
        for name in ("a", "b"):
            sitk.WriteImage(volume, str(tmp_path / f"{name}.nii.gz"))
        assert [(item.name, item.files) for item in find_inputs([series], ["CT"])] == [("patient.1", (series,))]
        inputs = find_inputs([tmp_path], ["CT"])
        assert {item.name: item.files for item in inputs} == {
            "a": (tmp_path / "a.nii.gz",), "b": (tmp_path / "b.nii.gz",), "patient.1": (series,),
        }  # fmt: skip

    def test_series_that_lie_deeper_are_named(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, write_series: Callable[..., Path]
    ) -> None:
        """As a CD or an archive has them."""
        write_series(sitk.Cast(oblique_case[0], sitk.sitkInt16), tmp_path / "patient" / "study" / "series")
        with pytest.raises(UsageError) as caught:
            find_inputs([tmp_path / "patient"], ["CT"])
        assert str(caught.value).endswith(f"Give those: {tmp_path / 'patient' / 'study'}")
        assert [item.name for item in find_inputs([tmp_path / "patient" / "study"], ["CT"])] == ["series"]

    def test_a_dicom_folder_for_each_channel(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, write_series: Callable[..., Path]
    ) -> None:
        volume = sitk.Cast(oblique_case[0], sitk.sitkInt16)
        folders = tuple(write_series(volume, tmp_path / f"p_000{channel}") for channel in range(2))
        (one,) = find_inputs([tmp_path], ["T1", "T2"])
        assert (one.name, one.files) == ("p", folders)


class TestCleaned:
    def test_the_settings_reach_the_label_map_and_its_grid_stays(
        self, oblique_case: tuple[sitk.Image, sitk.Image]
    ) -> None:
        labels = oblique_case[1]
        labels[1, 1, 1] = 2  # a speck far from the box of label 2
        z, y, x = Geometry.of(labels).spacing_zyx
        for config in (ApplyConfig(largest_component=True), ApplyConfig(minimum_size_mm3=1.5 * z * y * x)):
            result = cleaned(labels, config)
            assert not Geometry.of(result).disagreements(Geometry.of(labels))
            assert result.GetPixelID() == labels.GetPixelID()
            assert result[1, 1, 1] == 0 and result[7, 6, 3] == 2

    def test_a_hole_is_filled(self, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        labels = oblique_case[1]
        labels[11, 4, 5] = 0
        assert cleaned(labels, ApplyConfig(fill_holes=True))[11, 4, 5] == 1

    def test_without_settings_nothing_is_touched(self, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        assert cleaned(oblique_case[1], ApplyConfig()) is oblique_case[1]
