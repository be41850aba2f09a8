"""Cleaning up label maps: pieces, specks and holes."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.inference.postprocess import (
    clean_up,
    filled_holes,
    keep_largest_components,
    remove_small_components,
)

SPACING = (2.5, 1.1, 0.8)  # mm (z, y, x); a voxel has 2.2 mm3
VOXEL = 2.2


@pytest.fixture
def labels() -> np.ndarray:
    """Class 7 in pieces of 24, 4 and 1 voxels, class 3 in pieces of 8 and 2."""
    array = np.zeros((7, 9, 12), dtype=np.int16)
    array[1:3, 1:4, 1:5] = 7
    array[5, 5, 1:5] = 7
    array[6, 8, 11] = 7
    array[4:6, 1:3, 8:10] = 3
    array[1, 6:8, 8] = 3
    return array


def counts(array: np.ndarray) -> dict[int, int]:
    values, number = np.unique(array, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, number, strict=True) if value}


class TestLargest:
    def test_one_piece_of_each_class(self, labels: np.ndarray) -> None:
        kept = keep_largest_components(labels)
        assert counts(kept) == {3: 8, 7: 24}
        assert (kept[1:3, 1:4, 1:5] == 7).all() and (kept[4:6, 1:3, 8:10] == 3).all()
        assert kept.dtype == labels.dtype
        assert counts(labels) == {3: 10, 7: 29}, "the array that was given must stay as it was"

    def test_voxels_that_touch_at_a_corner_are_one_piece(self) -> None:
        diagonal = np.zeros((3, 4, 5), dtype=np.uint8)
        diagonal[0, 0, 0] = diagonal[1, 1, 1] = diagonal[2, 2, 2] = 1
        assert (keep_largest_components(diagonal) == diagonal).all()

    def test_another_class_does_not_join_two_pieces(self) -> None:
        row = np.array([1, 1, 1, 2, 1, 0], dtype=np.uint8).reshape(1, 1, 6)
        assert keep_largest_components(row).ravel().tolist() == [1, 1, 1, 2, 0, 0]


class TestSmall:
    @pytest.mark.parametrize(
        "minimum, left", [(0.5 * VOXEL, {3: 10, 7: 29}), (4 * VOXEL, {3: 8, 7: 28}), (4.1 * VOXEL, {3: 8, 7: 24})]
    )
    def test_the_limit_is_in_cubic_millimetres(self, labels: np.ndarray, minimum: float, left: dict[int, int]) -> None:
        assert counts(remove_small_components(labels, SPACING, minimum)) == left

    def test_a_class_of_specks_alone_goes(self, labels: np.ndarray) -> None:
        assert counts(remove_small_components(labels, SPACING, 9 * VOXEL)) == {7: 24}


class TestHoles:
    def test_a_hole_is_filled_and_a_bay_is_not(self) -> None:
        array = np.zeros((6, 7, 9), dtype=np.uint8)
        array[1:5, 1:6, 1:8] = 4
        array[2:4, 3, 3:5] = 0
        array[1, 4, 6] = 0  # open to the outside
        filled = filled_holes(array)
        assert (filled[2:4, 3, 3:5] == 4).all()
        assert filled[1, 4, 6] == 0
        assert np.count_nonzero(filled != array) == 4

    def test_a_hole_between_two_classes_gets_the_one_it_touches_most(self) -> None:
        array = np.zeros((5, 5, 8), dtype=np.uint8)
        array[1:4, 1:4, 1:7] = 9
        array[1:4, 1:4, 5:7] = 2
        array[2, 2, 4] = 0  # five faces of class 9, one of class 2
        array[2, 2, 3] = 9
        assert filled_holes(array)[2, 2, 4] == 9

    def test_a_class_inside_another_stays(self) -> None:
        array = np.ones((5, 6, 7), dtype=np.uint8)
        array[2, 3, 3] = 5
        assert (filled_holes(array) == array).all()

    def test_what_reaches_the_border_of_the_image_is_open(self) -> None:
        tube = np.ones((4, 5, 6), dtype=np.uint8)
        tube[:, 2, 3] = 0
        assert (filled_holes(tube) == tube).all()

    def test_one_slice_is_taken_as_2d(self) -> None:
        ring = np.zeros((1, 5, 6), dtype=np.uint8)
        ring[0, 1:4, 1:5] = 1
        ring[0, 2, 2:4] = 0
        assert counts(filled_holes(ring)) == {1: 12}


class TestCleanUp:
    def test_nothing_is_done_unless_asked_for(self, labels: np.ndarray) -> None:
        cleaned = clean_up(labels, SPACING)
        assert (cleaned == labels).all() and cleaned is not labels

    def test_everything_at_once(self) -> None:
        labels = np.zeros((8, 9, 14), dtype=np.uint8)
        labels[2:6, 2:6, 2:7] = 7
        labels[3, 3, 3] = 0
        labels[3, 3, 4] = 3  # a speck inside, which leaves a hole
        labels[2:6, 2, 9:12] = 7  # smaller than the piece that is kept, larger than the minimum
        labels[1:3, 7, 1:6] = 3
        cleaned = clean_up(labels, SPACING, largest_component=True, fill_holes=True, minimum_size_mm3=3 * VOXEL)
        assert (cleaned[2:6, 2:6, 2:7] == 7).all()
        assert counts(cleaned) == {3: 10, 7: 80}

    def test_an_empty_map_stays_empty(self) -> None:
        empty = np.zeros((3, 4, 5), dtype=np.int32)
        cleaned = clean_up(empty, SPACING, largest_component=True, fill_holes=True, minimum_size_mm3=1)
        assert not cleaned.any()

    def test_other_numbers_of_axes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"three axes.*\(4, 5\)"):
            clean_up(np.zeros((4, 5), dtype=np.uint8), (1, 1), fill_holes=True)
