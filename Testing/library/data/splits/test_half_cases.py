"""A single case as two: the halves of its labels, each with the whole image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.case_labels import read_labels
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.half_cases import first_half, joined, write_halves
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.label_maps import read_label_map, write_label_map
from MedSegTrainerLib.imaging.overlapping_results import write_overlapping

NAMES = {1: "bone", 2: "screw"}


@pytest.fixture
def only(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> Dataset:
    for name, image in zip(("image", "label"), oblique_case, strict=True):
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    case = Case(name="P 1", images=(tmp_path / "image.nrrd",), label=tmp_path / "label.nrrd")
    looks = {"bone": LabelClass(value=1, name="bone", color=(1, 2, 3), terminology="T")}
    return Dataset(root=tmp_path, layout="", cases=(case,), label_names=NAMES, channel_names=("CT",), looks=looks)


def test_each_label_is_in_one_half_and_all_of_it_in_both(only: Dataset, tmp_path: Path) -> None:
    ignored = write_halves(only.cases[0], only, tmp_path / "halves", None)
    assert ignored == 3
    whole = sitk.GetArrayFromImage(read_label_map(only.cases[0].label))
    halves = [sitk.GetArrayFromImage(read_label_map(tmp_path / "halves" / f"P 1 half {n}.nii.gz")) for n in (1, 2)]
    assert ((halves[0] != ignored) ^ (halves[1] != ignored)).all()
    assert np.array_equal(np.where(halves[0] != ignored, halves[0], halves[1]), whole)
    for half in halves:
        assert {1, 2} <= set(np.unique(half).tolist())
        assert 0.2 < np.isin(half, (1, 2)).sum() / (whole > 0).sum() < 0.8


def test_they_are_a_data_set_with_the_names_and_the_image_of_the_case(only: Dataset, tmp_path: Path) -> None:
    write_halves(only.cases[0], only, tmp_path / "halves", None)
    dataset = find_cases(tmp_path / "halves")
    assert [case.name for case in dataset.cases] == ["P 1 half 1", "P 1 half 2"]
    assert dataset.label_names == NAMES and dataset.channel_names == ("CT",)
    assert dataset.looks["bone"].color == (1, 2, 3) and dataset.looks["bone"].terminology == "T"
    assert all(case.images == (only.cases[0].images[0].resolve(),) for case in dataset.cases)
    assert json.loads((tmp_path / "halves" / "cases.json").read_text())["schema_version"] == 1


def test_voxels_that_nobody_labelled_keep_their_value(only: Dataset, tmp_path: Path) -> None:
    assert write_halves(only.cases[0], only, tmp_path / "halves", 2) == 2
    half = sitk.GetArrayFromImage(read_label_map(tmp_path / "halves" / "P 1 half 1.nii.gz"))
    assert set(np.unique(half).tolist()) == {0, 1, 2}


def test_predictions_of_the_halves_are_put_together(only: Dataset, tmp_path: Path) -> None:
    case = only.cases[0]
    ignored = write_halves(case, only, tmp_path / "halves", None)
    reference = read_label_map(case.label)
    paths = []
    for value, name in NAMES.items():
        constant = sitk.Cast(reference * 0 + value, sitk.sitkInt32)
        paths.append(tmp_path / f"{name}.seg.nrrd")
        write_label_map(constant, paths[-1], [LabelClass(value=value, name=name, color=(9, 9, 9))])
    result = joined(case, tmp_path / "halves", paths, {name: value for value, name in NAMES.items()}, ignored)
    first = sitk.GetArrayFromImage(read_label_map(tmp_path / "halves" / "P 1 half 1.nii.gz")) != ignored
    assert np.array_equal(sitk.GetArrayFromImage(result), np.where(first, 1, 2))
    assert np.allclose(result.GetDirection(), reference.GetDirection(), atol=1e-5)


def test_the_cut_goes_where_every_class_is_on_both_sides() -> None:
    values = np.zeros((12, 6, 8), np.uint8)
    values[1:11, 1:5, 1:3] = 1  # left and right, so no cut across the last axis
    values[1:11, 1:5, 5:7] = 2
    first = first_half(values)
    assert first[0].all() and not first[-1].any() and 4 <= first[:, 0, 0].sum() <= 8


def test_a_class_in_one_plane_leaves_a_plane_on_each_side() -> None:
    values = np.zeros((2, 3, 4), np.uint8)
    values[1] = 1
    first = first_half(values)
    assert first.any() and not first.all()


def test_nothing_to_cut() -> None:
    with pytest.raises(DataError, match="no labelled voxels"):
        first_half(np.zeros((3, 3, 3)))


@pytest.fixture
def overlapping(only: Dataset, tmp_path: Path) -> Dataset:
    """The bone is all that is labelled, with the screw in it."""
    folder = tmp_path / "set"
    folder.mkdir()
    values = sitk.GetArrayFromImage(read_label_map(only.cases[0].label))
    files = {}
    for name, mask in (("bone", values > 0), ("screw", values == 2)):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.CopyInformation(read_label_map(only.cases[0].label))
        files[name] = f"{name}.nrrd"
        sitk.WriteImage(image, str(folder / files[name]))
    case = {"name": "P 1", "images": [str(only.cases[0].images[0])], "masks": files}
    (folder / "cases.json").write_text(json.dumps({"cases": [case]}))
    return find_cases(folder)


def test_halves_of_classes_that_overlap_are_masks(overlapping: Dataset, tmp_path: Path) -> None:
    (case,) = overlapping.cases
    halves = tmp_path / "halves"
    ignored = write_halves(case, overlapping, halves, overlapping.ignore_label)
    dataset = find_cases(halves)
    assert dataset.overlapping and dataset.label_names == NAMES
    whole = sitk.GetArrayFromImage(read_labels(case, None))
    parts = [sitk.GetArrayFromImage(read_labels(one, dataset.ignore_label)) for one in dataset.cases]
    assert ((parts[0] == -1) ^ (parts[1] == -1)).all()
    assert (np.where(parts[0] != -1, parts[0], parts[1]) == whole).all()
    assert all({0b1, 0b11} <= set(np.unique(part).tolist()) for part in parts)
    classes = [LabelClass(value=value, name=name, color=(1, 2, 3)) for value, name in NAMES.items()]
    for number, bits in enumerate((0b1, 0b10), start=1):
        filled = sitk.GetImageFromArray(np.full(whole.shape, bits, np.int32))
        write_overlapping(filled, tmp_path / f"{number}.seg.nrrd", classes)
    predictions = [tmp_path / "1.seg.nrrd", tmp_path / "2.seg.nrrd"]
    values = {name: value for value, name in NAMES.items()}
    result = sitk.GetArrayFromImage(joined(case, halves, predictions, values, ignored))
    assert (result == np.where(parts[0] != -1, 0b1, 0b10)).all()
