"""Classes of a voxel as bits: which are there, how often, and what nobody labelled."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.imaging.class_bits import (
    MOST_CLASSES,
    class_bit,
    class_counts,
    classes_of,
    combination_counts,
    has_class,
    only_classes,
    to_bits,
    where_class,
)

BITS = np.array([[-1, 0, 1], [2, 3, 5], [7, 1 << 29, -1]], np.int32)


def test_where_a_class_is() -> None:
    assert has_class(BITS, 1).tolist() == [[False, False, True], [False, True, True], [True, False, False]]
    assert has_class(BITS, MOST_CLASSES).sum() == 1
    assert not has_class(BITS, 1)[BITS < 0].any()  # though all bits of -1 are set


def test_label_values_are_compared() -> None:
    assert where_class(BITS, 3, overlapping=False).sum() == 1
    assert where_class(BITS, 3, overlapping=True).sum() == 2


@pytest.mark.parametrize(("bits", "classes"), [(0, ()), (-1, ()), (1, (1,)), (5, (1, 3)), (1 << 29, (30,))])
def test_classes_of_a_voxel(bits: int, classes: tuple[int, ...]) -> None:
    assert classes_of(bits) == classes
    assert sum(class_bit(value) for value in classes) == max(bits, 0)


def test_a_voxel_counts_for_each_of_its_classes() -> None:
    combinations = combination_counts(BITS)
    assert combinations == {0: 1, 1: 1, 2: 1, 3: 1, 5: 1, 7: 1, 1 << 29: 1}
    assert class_counts(combinations) == {0: 1, 1: 4, 2: 3, 3: 2, 30: 1}


def test_other_classes_go_and_what_nobody_labelled_stays() -> None:
    assert only_classes(BITS, [2]).tolist() == [[-1, 0, 0], [2, 2, 0], [2, 0, -1]]


def test_masks_become_bits() -> None:
    masks = [has_class(BITS, value) for value in range(1, MOST_CLASSES + 1)]
    assert (to_bits(masks) == np.where(BITS < 0, 0, BITS)).all()
