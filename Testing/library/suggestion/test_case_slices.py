"""Slices of a file that lies in any way in the patient."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.suggestion.case_slices import AUTO, case_slices, choose_axis

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)  # x to Left, y to... Inferior/Superior, z front to back


def grid(spacing: tuple[float, float, float], direction: tuple[float, ...] | None = None) -> Geometry:
    size = (5, 6, 7)
    return (
        Geometry(size=size, spacing=spacing)
        if direction is None
        else Geometry(size=size, spacing=spacing, direction=direction)
    )


class TestChooseAxis:
    def test_auto_takes_the_thickest_slices_and_axial_ones_of_cubes(self) -> None:
        assert choose_axis(grid((1, 1, 3)), AUTO, None).name == "z"
        assert choose_axis(grid((1, 4, 3)), AUTO, None).name == "y"
        assert choose_axis(grid((1, 1, 1)), AUTO, None).name == "z"
        assert choose_axis(grid((1, 1, 1), CORONAL), AUTO, None).name == "z"
        assert choose_axis(grid((1, 1, 3), CORONAL), AUTO, None).name == "y"

    def test_auto_takes_the_slices_of_a_2d_model(self) -> None:
        assert choose_axis(grid((1, 1, 3)), AUTO, "x").name == "x"
        assert choose_axis(grid((1, 1, 3)), "y", "x").name == "y"

    def test_a_picture_has_one_slice_whatever_is_wanted(self) -> None:
        picture = Geometry(size=(8, 9, 1))
        for wanted in (AUTO, "x", "y", "z"):
            axis = choose_axis(picture, wanted, "y")
            assert (axis.name, axis.place, axis.slices, axis.voxels) == ("z", 0, 1, 72)

    def test_place_and_direction_in_the_file(self) -> None:
        axis = choose_axis(grid((2, 3, 4), CORONAL), "z", None)
        assert (axis.place, axis.slices, axis.voxels, axis.voxel_mm2) == (1, 6, 35, 8)
        for wanted in "xyz":
            axis = choose_axis(grid((2, 3, 4), CORONAL), wanted, None)
            numbers = np.zeros(grid((2, 3, 4)).size_zyx, np.int16)
            shape = [1, 1, 1]
            shape[axis.place] = axis.slices
            numbers += np.arange(axis.slices, dtype=np.int16).reshape(shape)
            canonical = sitk.GetArrayFromImage(to_canonical(grid((2, 3, 4), CORONAL).place(numbers)))
            along = np.moveaxis(canonical, "zyx".index(wanted), 0)[:, 0, 0]
            assert [along[axis.canonical_index(index)] for index in range(axis.slices)] == [*range(axis.slices)]


class TestCaseSlices:
    def test_means_and_counts_in_the_order_of_the_file(self) -> None:
        flipped = Geometry(size=(4, 3, 2), direction=(1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
        axis = choose_axis(flipped, "y", None)
        assert axis.reversed and axis.voxels == 8
        labels = np.zeros(flipped.size_zyx, np.uint8)
        labels[:, 0, :3], labels[1, 2, 0] = 5, 9
        entropy = np.zeros(flipped.size_zyx, np.float32)
        entropy[:, 1] = 0.5
        canonical_sums = np.array([[8.0, 4.0, 0.0], [0.0, 0.0, 2.0]])
        case = case_slices("a", axis, labels, entropy, canonical_sums, [5, 9], drawn=[2], unlike=["thin slices"])
        assert case.entropy.tolist() == [0, 0.5, 0]
        assert case.unsure.tolist() == [[0, 0.5, 1], [0.25, 0, 0]]
        assert case.voxels.tolist() == [[6, 0, 0], [0, 0, 1]]
        assert case.seen.tolist() == [True, False, True]
        assert case.drawn.tolist() == [False, False, True]
        assert case.unlike == ("thin slices",)

    def test_of_classes_that_overlap(self) -> None:
        geometry = Geometry(size=(2, 2, 2))
        labels = np.array([[[1, 3], [0, 2]], [[0, 0], [0, 0]]], np.int32)
        axis = choose_axis(geometry, "z", None)
        case = case_slices("a", axis, labels, np.zeros((2, 2, 2)), np.zeros((2, 2)), [1, 2], overlapping=True)
        assert case.voxels.tolist() == [[2, 0], [2, 0]]

    def test_a_slice_that_is_not_there_cannot_be_drawn(self) -> None:
        geometry = Geometry(size=(2, 3, 4))
        axis = choose_axis(geometry, "z", None)
        with pytest.raises(DataError, match=r"p07 has 4 slices along z, counted from 0, and slice 4 is said"):
            case_slices("p07", axis, np.zeros((4, 3, 2)), np.zeros((4, 3, 2)), np.zeros((1, 4)), [1], drawn=[1, 4])
