"""Voxels by their label on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.metrics.confusion import Confusion, largest_confusions, row_shares

LIVER = LabelClass(value=2, name="liver", color=(255, 0, 0))
TUMOUR = LabelClass(value=70000, name="tumour", color=(0, 255, 0))
ODD = LabelClass(value=-1, name="odd", color=(0, 0, 255))
CLASSES = [LIVER, TUMOUR, ODD]
VALUES = [item.value for item in CLASSES]


def sides() -> tuple[np.ndarray, np.ndarray]:
    prediction, reference = np.zeros((2, 2, 3, 5), np.int32)
    reference[0, 0] = 2  # five voxels: three right, one tumour, one of an unknown label
    prediction[0, 0] = (2, 2, 2, 70000, 9)
    reference[1, 1, :2] = -1  # both missed
    prediction[1, 2, 4] = 70000  # extra
    return prediction, reference


class TestCounts:
    def test_rows_are_of_the_reference(self) -> None:
        table = Confusion()
        table.add(*sides(), VALUES, 30)
        document = table.to_json(CLASSES)
        assert document["labels"] == ["background", "liver", "tumour", "odd"]
        assert document["voxels"] == [[22, 0, 1, 0], [1, 3, 1, 0], [0, 0, 0, 0], [2, 0, 0, 0]]

    def test_cases_add_up_and_voxels_that_nobody_labelled_do_not_count(self) -> None:
        table = Confusion()
        for _ in range(2):
            table.add(*sides(), VALUES, 20)
        assert table.to_json(CLASSES)["voxels"][0] == [24, 0, 2, 0]
        assert table.to_json(CLASSES)["voxels"][1] == [2, 6, 2, 0]


class TestShares:
    def test_each_row_adds_up_to_one(self) -> None:
        shares = row_shares({"labels": ["a", "b", "c"], "voxels": [[3, 1, 0], [0, 0, 0], [1, 1, 2]]})
        assert shares[0].tolist() == [0.75, 0.25, 0] and shares[2].tolist() == [0.25, 0.25, 0.5]
        assert np.isnan(shares[1]).all()

    def test_the_largest_confusions(self) -> None:
        document = {"labels": ["a", "b", "c"], "voxels": [[100, 4, 0], [7, 13, 0], [0, 2, 8]]}
        confusions = largest_confusions(document, 2)
        assert [item[:3] for item in confusions] == [("b", "a", 7), ("a", "b", 4)]
        assert confusions[0][3] == pytest.approx(0.35)
        assert len(largest_confusions(document, 9)) == 3
