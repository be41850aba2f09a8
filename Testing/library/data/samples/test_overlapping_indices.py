"""Prepared labels of classes that overlap: a number for each combination, and for what nobody looked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.data.samples.overlapping_indices import overlap_codes, overlapping_indices
from MedSegTrainerLib.errors import DataError

CLASSES = tuple(LabelClass(value=v, name=n, color=(v, 0, 0)) for v, n in enumerate(("organ", "tumor", "cyst"), 1))


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    codes = overlap_codes([(1, 2), (1, 2, 3)], 3, [(2,)])
    return replace(tiny_plan, classes=CLASSES, overlapping=True, label_codes=codes)


def test_codes_are_of_combinations_and_of_what_else_may_be_there() -> None:
    unknown = [LabelCode(present=present, unknown=(2,)) for present in ((), (1,), (1, 3), (3,))]
    assert overlap_codes([(1, 2, 3), (1, 2)], 3, [(2,)]) == (
        LabelCode(present=(1, 2)), LabelCode(present=(1, 2, 3)), *unknown
    )  # fmt: skip


def test_every_voxel_gets_its_number(plan: Plan) -> None:
    bits = np.array([[[0, 0b1, 0b10], [0b100, 0b11, 0b111]]], np.int32)
    indices = overlapping_indices(bits, plan)
    assert indices.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert indices.dtype == np.uint8
    present = plan.present_classes()
    assert [present[number] for number in indices.ravel().tolist()] == [(), (1,), (2,), (3,), (1, 2), (1, 2, 3)]


def test_classes_that_nobody_looked_for_count_nowhere(plan: Plan) -> None:
    """Wherever they are: another class does not say that they are not there."""
    indices = overlapping_indices(np.array([[[0, 0b1, 0b11, 0b111]]], np.int32), plan, (2,))
    codes = [plan.label_codes[number - 4] for number in indices.ravel().tolist()]
    assert [code.unknown for code in codes] == [(2,)] * 4
    assert [code.present for code in codes] == [(), (1,), (1,), (1, 3)]


def test_what_nobody_labelled(plan: Plan) -> None:
    indices = overlapping_indices(np.array([[[-1, 0b1]]], np.int32), replace(plan, ignore_label=-1))
    assert indices.tolist() == [[[-1, 1]]]
    assert indices.dtype == np.int16


def test_a_combination_that_was_not_planned(plan: Plan) -> None:
    with pytest.raises(DataError, match="'tumor' and 'cyst' at once, which this training was not planned for"):
        overlapping_indices(np.array([[[0b110]]], np.int32), plan)
