"""Predictions of classes that nobody looked for in the reference."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.imaging.class_bits import class_bit
from MedSegTrainerLib.metrics.known_voxels import without_unknown

REFERENCE = np.array([[[0, 0, 0, 0], [4, 4, 9, 9]]])
PREDICTION = np.array([[[0, 4, 7, 9], [4, 7, 9, 7]]])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_they_are_taken_out_where_the_reference_has_no_class(kind: type[np.generic]) -> None:
    """Over a class of the reference they stay: that class was missed there."""
    result = without_unknown(PREDICTION.astype(kind), REFERENCE.astype(kind), [7, 9])
    assert result.tolist() == [[[0, 4, 0, 0], [4, 7, 9, 7]]]
    assert result.dtype == kind


def test_where_all_was_drawn_nothing_changes() -> None:
    assert without_unknown(PREDICTION, REFERENCE, []) is PREDICTION


def test_of_classes_that_overlap_only_the_unknown_ones_are_taken_out() -> None:
    first, second = class_bit(1), class_bit(2)
    prediction = np.array([[[first, second, first | second, 0]]], np.int32)
    result = without_unknown(prediction, prediction * 0, [2], overlapping=True)
    assert result.tolist() == [[[first, 0, first, 0]]]
