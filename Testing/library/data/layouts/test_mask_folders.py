"""A folder for each case with a mask for each class: which are the classes, and what is known of them where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.case_labels import place_labels, read_labels
from MedSegTrainerLib.data.dataset import IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError

SIZE_ZYX = (3, 5, 4)
CLASSES = {"liver": (0, 1, 1), "spleen": (2, 3, 2), "kidney_left": (1, 4, 0)}  # a voxel (z, y, x) of each


def put(path: Path, *voxels: tuple[int, int, int], value: int = 1) -> None:
    """A volume on an oblique, anisotropic grid with this value at some voxels."""
    array = np.zeros(SIZE_ZYX, np.uint8)
    for voxel in voxels:
        array[voxel] = value
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 1.3, 4.0))
    image.SetOrigin((-7.0, 11.0, 3.0))
    image.SetDirection((0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def totalsegmentator(root: Path, cases: int = 2, *, masks: str = "segmentations") -> None:
    for case in range(cases):
        folder = root / f"s000{case}"
        put(folder / "ct.nii.gz", (0, 0, 0), value=40 + case)
        for name, voxel in CLASSES.items():
            put(folder / masks / f"{name}.nii.gz", voxel)


def test_masks_become_one_label_map(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    dataset = find_cases(tmp_path)
    assert dataset.layout == "a folder for each case with a mask for each class (3 classes)"
    assert dataset.label_names == {1: "kidney_left", 2: "liver", 3: "spleen"}
    assert dataset.channel_names == ("ct",)
    assert [case.name for case in dataset.cases] == ["s0000", "s0001"]
    assert [path.name for path in dataset.cases[1].images] == ["ct.nii.gz"]
    assert (dataset.overlapping, dataset.cases[0].drawn) == (False, None)
    labels = sitk.GetArrayFromImage(read_labels(dataset.cases[1], dataset.ignore_label))
    expected = np.zeros(SIZE_ZYX, int)
    for value, name in dataset.label_names.items():
        expected[CLASSES[name]] = value
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("folder", ["masks", "Segmentations", "structures"])
def test_usual_names_of_the_folder(tmp_path: Path, folder: str) -> None:
    totalsegmentator(tmp_path, masks=folder)
    assert len(find_cases(tmp_path).label_names) == 3


def test_names_of_the_settings(tmp_path: Path) -> None:
    totalsegmentator(tmp_path, masks="organs")
    put(tmp_path / "s0000" / "combined_labels.nii.gz")
    data = DataConfig(label_name="organs", mask_names=["spleen", "liver"], image_names=["ct"])
    dataset = find_cases(tmp_path, data)
    assert dataset.label_names == {1: "spleen", 2: "liver"}
    assert list(dataset.cases[0].masks) == ["spleen", "liver"]
    assert [path.name for path in dataset.cases[0].images] == ["ct.nii.gz"]


def test_numbers_of_a_description(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    labels = {"background": 0, "spleen": 1, "liver": 5, "kidney_left": 3, "gallbladder": 4}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert find_cases(tmp_path).label_names == {1: "spleen", 3: "kidney_left", 5: "liver"}


def test_a_class_without_mask_is_unknown_there(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    (tmp_path / "s0001" / "segmentations" / "liver.nii.gz").unlink()
    dataset = find_cases(tmp_path)
    assert [case.drawn for case in dataset.cases] == [None, ("kidney_left", "spleen")]


def test_that_it_was_looked_for_can_be_said(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    (tmp_path / "s0001" / "segmentations" / "liver.nii.gz").unlink()
    (tmp_path / "drawn.json").write_text(json.dumps({"s0001": list(CLASSES)}))
    assert [case.drawn for case in find_cases(tmp_path).cases] == [None, None]


def test_masks_that_overlap(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    put(tmp_path / "s0001" / "segmentations" / "spleen.nii.gz", CLASSES["spleen"], CLASSES["liver"])
    dataset = find_cases(tmp_path)
    assert dataset.overlapping
    assert "'liver' and 'spleen' share 1 voxels in 1 of 2 cases" in dataset.overlap
    with pytest.raises(DataError, match="'liver' and 'spleen' overlap in 1 voxels"):
        read_labels(find_cases(tmp_path, DataConfig(overlapping=False)).cases[1], None)


def test_a_label_map_beside_masks_stays_the_label_map(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    for case in ("s0000", "s0001"):
        put(tmp_path / case / "mask.nii.gz", (0, 0, 1))
    dataset = find_cases(tmp_path)
    assert dataset.layout == "a folder for each case"
    assert find_cases(tmp_path, DataConfig(label_name="segmentations")).cases[0].masks.keys() == CLASSES.keys()


def test_a_label_map_in_such_a_folder_is_no_class(tmp_path: Path) -> None:
    put(tmp_path / "s1" / "ct.nii.gz", (0, 0, 0))
    put(tmp_path / "s1" / "segmentations" / "seg.nii.gz", (0, 0, 0))
    with pytest.raises(DataError, match="No labelled images found"):
        find_cases(tmp_path)


def test_a_mask_of_several_values_is_told(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    path = tmp_path / "s0000" / "segmentations" / "liver.nii.gz"
    image = sitk.ReadImage(str(path))
    image[0, 0, 0] = 7
    sitk.WriteImage(image, str(path))
    case = find_cases(tmp_path).cases[0]
    finding = place_labels(case, sitk.ReadImage(str(case.images[0])), None).finding
    assert finding is not None and finding.severity == "warning"
    assert finding.message == "its mask of 'liver' has the values 1, 7, and all are 'liver'."


class TestWrong:
    def error(self, root: Path, **settings: Any) -> str:
        with pytest.raises(DataError) as caught:
            find_cases(root, DataConfig(**settings))
        assert str(root) in str(caught.value)
        return str(caught.value)

    def test_missing_files(self, tmp_path: Path) -> None:
        totalsegmentator(tmp_path, cases=3)
        (tmp_path / "s0000" / "ct.nii.gz").unlink()
        for name in CLASSES:
            (tmp_path / "s0001" / "segmentations" / f"{name}.nii.gz").unlink()
        with pytest.raises(IncompleteError) as caught:
            find_cases(tmp_path)
        assert "1 case folders have no image: s0000" in str(caught.value)
        assert "1 case folders have no folder with masks: s0001" in str(caught.value)
        assert [case.name for case in caught.value.dataset.cases] == ["s0002"]
        assert {finding.case for finding in caught.value.findings} == {"s0000", "s0001"}

    def test_a_class_that_is_nowhere(self, tmp_path: Path) -> None:
        totalsegmentator(tmp_path)
        message = self.error(tmp_path, mask_names=["livre", "spleen"])
        assert "data.mask_names asks for livre" in message and "Did you mean 'liver'?" in message

    def test_no_class_in_a_case(self, tmp_path: Path) -> None:
        totalsegmentator(tmp_path)
        (tmp_path / "s0001" / "segmentations" / "liver.nii.gz").unlink()
        assert "1 case folders have no mask of liver: s0001" in self.error(tmp_path, mask_names=["liver"])

    def test_names_that_end_as_label_maps(self, tmp_path: Path) -> None:
        totalsegmentator(tmp_path)
        put(tmp_path / "s0001" / "combined_labels.nii.gz", (0, 0, 0))
        message = self.error(tmp_path)
        assert "holds the label map combined_labels.nii.gz and masks in segmentations/" in message
        assert "--set label_name=segmentations" in message

    def test_different_channels(self, tmp_path: Path) -> None:
        totalsegmentator(tmp_path)
        put(tmp_path / "s0001" / "pet.nii.gz", (0, 0, 0))
        assert "the cases have different images: ct in s0000, ct, pet in s0001" in self.error(tmp_path)
