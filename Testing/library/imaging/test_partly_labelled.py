"""Slices with something in them and boxes: what of a label map is labelled, whatever way its grid lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.imaging.label_maps import read_label_map, write_label_map
from MedSegTrainerLib.imaging.label_source import LabelSource, place_labels, read_labels
from MedSegTrainerLib.imaging.partly_labelled import LabelledPart, found_axis, mark_unlabelled, patient_axes

AXES = {"x": 2, "y": 1, "z": 0}


def drawn(shape: tuple[int, int, int] = (9, 14, 11)) -> np.ndarray:
    """Two structures with a gap between them along x, larger than a slice along every axis."""
    values = np.zeros(shape, np.int32)
    values[2:7, 3:11, 1:4] = 1
    values[3:8, 4:12, 7:10] = 2
    return values


def thinned(values: np.ndarray, axis: int, every: int) -> np.ndarray:
    kept = np.zeros_like(values)
    part = [slice(None)] * 3
    part[axis] = slice(every // 2, None, every)
    kept[tuple(part)] = values[tuple(part)]
    return kept


def marked(labels: sitk.Image, part: LabelledPart, ignored: int = -1) -> np.ndarray:
    array: np.ndarray = sitk.GetArrayFromImage(mark_unlabelled(labels, part, ignored, Geometry.of(labels)))
    return array


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("every", [2, 4, 6])
def test_the_axis_is_that_of_the_slices(axis: str, every: int) -> None:
    values = thinned(drawn(), AXES[axis], every)
    assert values.any() and "zyx"[found_axis(values != 0, "zyx")] == axis


@pytest.mark.parametrize("turn", ["LPS", "RAS", "PIR", "SAL", "ASL"])
@pytest.mark.parametrize("axis", "xyz")
def test_slices_of_the_patient_on_any_grid(turn: str, axis: str, oblique_geometry: Geometry) -> None:
    canonical = to_canonical(oblique_geometry.place(np.zeros(oblique_geometry.size_zyx, np.int32)))
    values = np.zeros(Geometry.of(canonical).size_zyx, np.int32)
    values[1:-1, 1:-1, 1:-1] = 3
    values = thinned(values, AXES[axis], 3)
    expected = np.where(values.any(axis=tuple({0, 1, 2} - {AXES[axis]}), keepdims=True), values, -1)
    turned = sitk.DICOMOrient(Geometry.of(canonical).place(values), turn)
    for slices in (axis, "auto"):
        result = mark_unlabelled(turned, LabelledPart(slices=slices), -1, Geometry.of(turned))
        assert Geometry.of(result) == Geometry.of(turned)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(to_canonical(result)), expected)


def test_the_rest_of_a_labelled_slice_is_background() -> None:
    values = thinned(drawn(), 1, 5)
    result = marked(sitk.GetImageFromArray(values), LabelledPart(slices="y"), 7)
    known = values.any(axis=(0, 2))
    assert 0 < known.sum() < 14
    np.testing.assert_array_equal(result[:, known], values[:, known])
    assert (result[:, ~known] == 7).all()


def test_what_nobody_labelled_makes_no_slice_a_labelled_one() -> None:
    values = np.zeros((4, 6, 5), np.int32)
    values[:, 2, 1:3] = 1
    values[0, 5, 0] = 9
    result = marked(sitk.GetImageFromArray(values), LabelledPart(slices="y"), 9)
    assert (result[:, 5] == 9).all() and (result[:, 2] != 9).all()


def test_a_picture_is_a_slice() -> None:
    values = np.zeros((1, 6, 5), np.int32)
    assert (marked(sitk.GetImageFromArray(values), LabelledPart(slices="auto")) == -1).all()
    values[0, 2, 3] = 1
    np.testing.assert_array_equal(marked(sitk.GetImageFromArray(values), LabelledPart(slices="auto")), values)


def test_nobody_can_tell() -> None:
    values = np.zeros((8, 9, 10), np.int32)
    values[2:7, 2:4, 3:5] = 1
    with pytest.raises(DataError, match=r"the drawing is as long along y and x\. Give labelled_slices as x"):
        marked(sitk.GetImageFromArray(values), LabelledPart(slices="auto"))
    assert (marked(sitk.GetImageFromArray(values), LabelledPart(slices="x"))[:, :, 3:5] >= 0).all()


def test_a_box_counts_the_voxels_of_its_file(oblique_geometry: Geometry, tmp_path: Path) -> None:
    nx, ny, nz = oblique_geometry.size
    grid = oblique_geometry.place(np.arange(nx * ny * nz, dtype=np.int32).reshape(nz, ny, nx) % 3)
    turned = sitk.DICOMOrient(grid, "RAS")
    write_label_map(turned, tmp_path / "a.nrrd", ())
    source = LabelSource(path=tmp_path / "a.nrrd", part=LabelledPart(box=((1, 0, 2), (2, 3, 2))))
    own = sitk.GetArrayFromImage(read_labels(source))
    inside = np.zeros(own.shape, bool)
    inside[2:3, 0:4, 1:3] = True
    np.testing.assert_array_equal(own != -1, inside)
    placed = place_labels(source, grid).image
    assert not Geometry.of(placed).disagreements(oblique_geometry)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.DICOMOrient(placed, "RAS")), sitk.GetArrayFromImage(read_labels(source))
    )


def test_a_box_of_a_file_that_is_cut_to_its_labels(tmp_path: Path) -> None:
    whole = Geometry(size=(8, 7, 6), spacing=(1.0, 1.5, 2.0), origin=(3.0, -4.0, 5.0))
    part = Geometry(size=(3, 4, 2), spacing=whole.spacing, origin=(5.0, -2.5, 9.0))
    write_label_map(part.place(np.ones(part.size_zyx, np.int32)), tmp_path / "a.seg.nrrd", ())
    source = LabelSource(path=tmp_path / "a.seg.nrrd", part=LabelledPart(box=((1, 0, 0), (2, 3, 0))), ignored_value=5)
    values = sitk.GetArrayFromImage(place_labels(source, whole.place(np.zeros(whole.size_zyx, np.int16))).image)
    expected = np.full(whole.size_zyx, 5)
    expected[2:3, 1:5, 3:5] = 1
    np.testing.assert_array_equal(values, expected)


def test_a_box_beyond_the_label_map() -> None:
    labels = sitk.GetImageFromArray(drawn())
    with pytest.raises(DataError, match=r"\[\[0, 0, 0\], \[11, 3, 3\]\] reaches beyond its label map, .* 11 x 14 x 9"):
        marked(labels, LabelledPart(box=((0, 0, 0), (11, 3, 3))))


def test_slices_and_a_box_together() -> None:
    values = thinned(drawn(), 0, 4)
    result = marked(sitk.GetImageFromArray(values), LabelledPart(slices="z", box=((0, 0, 0), (10, 6, 8))))
    known = np.broadcast_to(values.any(axis=(1, 2), keepdims=True), values.shape).copy()
    known[:, 7:] = False
    np.testing.assert_array_equal(result != -1, known)


def test_axes_of_an_oblique_grid(oblique_geometry: Geometry) -> None:
    canonical = to_canonical(oblique_geometry.place(np.zeros(oblique_geometry.size_zyx, np.int32)))
    assert patient_axes(Geometry.of(canonical)) == "zyx"


def test_it_comes_back_from_a_report(tmp_path: Path) -> None:
    for part in (LabelledPart(), LabelledPart(slices="auto"), LabelledPart(box=((0, 1, 2), (3, 4, 5)))):
        source = LabelSource(path=tmp_path / "a.nii", part=part, ignored_value=4)
        again = LabelSource.from_json(source.to_json())
        assert again == source and (again.is_whole_map, again.unlabelled) == (part.is_all, 4)
    assert LabelSource(path=tmp_path, part=LabelledPart(slices="x")).unlabelled == -1
    assert LabelSource(path=tmp_path).unlabelled is None


def test_real_coronal_slices(shared_data: Path, tmp_path: Path) -> None:
    labels = read_label_map(shared_data / "hippocampus" / "labelsTr" / "hippocampus_001.nii.gz")
    values = sitk.GetArrayFromImage(labels)
    sparse = thinned(values, patient_axes(Geometry.of(labels)).index("y"), 4)
    result = marked(Geometry.of(labels).place(sparse), LabelledPart(slices="auto"))
    slices = np.flatnonzero(sparse.any(axis=(0, 2)))
    np.testing.assert_array_equal(np.flatnonzero((result >= 0).all(axis=(0, 2))), slices)
    np.testing.assert_array_equal(result[:, slices], values[:, slices])
    assert (np.delete(result, slices, axis=1) == -1).all() and len(slices) > 5
