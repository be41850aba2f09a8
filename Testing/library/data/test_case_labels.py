"""Labels of a case, whatever form they have, with what lies outside of the labelled slices and box as not labelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.case_labels import label_form, label_source, read_labels, read_labels_onto
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map

GEOMETRY = Geometry(size=(9, 8, 7), spacing=(0.8, 1.2, 2.0), origin=(4.0, -3.0, 2.0))
IMAGE = GEOMETRY.place(np.zeros(GEOMETRY.size_zyx, np.float32))


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A liver in three coronal slices, and a tumor in it, in two of them."""
    liver, tumor = np.zeros((2, *GEOMETRY.size_zyx), np.int32)
    liver[1:6, [1, 4, 6], 2:7] = 1
    tumor[2:5, [1, 4], 3:5] = 1
    return liver, tumor


def array(image: sitk.Image) -> np.ndarray:
    values: np.ndarray = sitk.GetArrayFromImage(image)
    return values


@pytest.fixture
def case(tmp_path: Path) -> Case:
    liver, tumor = drawn()
    write_label_map(GEOMETRY.place(liver + tumor), tmp_path / "map.nrrd", ())
    write_label_map(GEOMETRY.place(liver), tmp_path / "liver.nrrd", ())
    write_label_map(GEOMETRY.place(tumor), tmp_path / "tumor.nrrd", ())
    return Case(name="a", images=(tmp_path / "image.nrrd",), label=tmp_path / "map.nrrd")


def known_slices() -> np.ndarray:
    known = np.zeros(GEOMETRY.size_zyx, bool)
    known[:, [1, 4, 6]] = True
    return known


@pytest.mark.parametrize("ignored, in_memory", [(None, -1), (-1, -1), (9, 9)])
def test_slices_of_a_label_map(case: Case, ignored: int | None, in_memory: int) -> None:
    liver, tumor = drawn()
    values = array(read_labels(replace(case, labelled_slices="auto"), ignored))
    np.testing.assert_array_equal(values, np.where(known_slices(), liver + tumor, in_memory))


def test_slices_of_classes_that_overlap(case: Case, tmp_path: Path) -> None:
    """Of masks whose files hold unknown voxels, too; a slice counts where any class has something in it."""
    liver, tumor = drawn()
    tumor[0, 1, 0] = 7
    write_label_map(GEOMETRY.place(tumor), tmp_path / "tumor.nrrd", ())
    masks = {"liver": tmp_path / "liver.nrrd", "tumor": tmp_path / "tumor.nrrd"}
    overlapping = replace(
        case, label=masks["liver"], masks=masks, segment_values={"liver": 1, "tumor": 2}, overlapping=True,
        ignored_value=7, labelled_slices="y",
    )  # fmt: skip
    expected = np.where(known_slices(), liver + 2 * (tumor == 1), -1)
    expected[0, 1, 0] = -1
    np.testing.assert_array_equal(array(read_labels_onto(overlapping, IMAGE, -1)), expected)


def test_a_box_of_a_label_map_whose_axes_are_turned(case: Case, tmp_path: Path) -> None:
    liver, tumor = drawn()
    turned = sitk.DICOMOrient(GEOMETRY.place(liver + tumor), "SRA")
    write_label_map(turned, tmp_path / "turned.nrrd", ())
    boxed = replace(case, label=tmp_path / "turned.nrrd", labelled_box=((1, 0, 0), (3, 8, 4)))
    placed = read_labels_onto(boxed, IMAGE, 5)
    assert not Geometry.of(placed).disagreements(GEOMETRY)
    inside = np.zeros(array(turned).shape, bool)
    inside[0:5, 0:9, 1:4] = True
    np.testing.assert_array_equal(array(sitk.DICOMOrient(placed, "SRA")) != 5, inside)


def test_what_an_evaluation_needs_to_know(case: Case) -> None:
    assert label_form(case, None) is None and label_form(case, 3) is None
    form = label_form(replace(case, labelled_slices="y"), 3)
    assert form is not None and form.unlabelled == 3
    assert label_source(replace(case, labelled_slices="y"), None).unlabelled == -1
