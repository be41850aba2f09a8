"""What the arms of the measurement of incomplete labels take away from real label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks.labels import ARMS, Drawing, _write_cases, show

from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.layouts.find import find_cases

SIZE = (9, 10, 12)  # z, y, x


@pytest.fixture
def drawing(tmp_path: Path) -> Drawing:
    """Two cases with two classes, in canonical axes."""
    labels = np.zeros(SIZE, np.uint8)
    labels[2:7, 1:9, 2:6], labels[2:7, 1:9, 6:10] = 1, 2
    for folder, array in (("imagesTr", labels.astype(np.float32)), ("labelsTr", labels)):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((0.8, 1.0, 2.5))
            sitk.WriteImage(image, str(tmp_path / folder / f"{name}.nii.gz"))
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "left": 1, "right": 2}}', encoding="utf-8")
    dataset = find_cases(tmp_path)
    return Drawing(dataset=dataset, cases=dataset.cases, axis=1, folder=tmp_path / "changed")


def _labels(case: Case) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(case.label)))


def test_of_one_class_each_only_that_one_is_left_and_said_to_be_drawn(drawing: Drawing) -> None:
    first, second = ARMS["one-class-each"](drawing)
    assert (first.drawn, second.drawn) == (("left",), ("right",))
    assert (np.unique(_labels(first)).tolist(), np.unique(_labels(second)).tolist()) == ([0, 1], [0, 2])
    assert [case.drawn for case in ARMS["one-class-each-as-background"](drawing)] == [None, None]


def test_of_slices_every_fourth_is_left(drawing: Drawing) -> None:
    case, _ = ARMS["every-fourth-slice"](drawing)
    assert np.flatnonzero(_labels(case).any(axis=(0, 2))).tolist() == [2, 6]
    assert case.labelled_slices == "y"


def test_cases_are_left_out_or_as_they_are(drawing: Drawing) -> None:
    assert tuple(ARMS["complete"](drawing)) == drawing.cases
    assert tuple(ARMS["a-quarter-of-the-cases"](drawing)) == drawing.cases[:1]


def test_the_job_finds_what_was_left(drawing: Drawing, tmp_path: Path) -> None:
    train, held_out = ARMS["every-fourth-slice"](drawing)
    _write_cases(drawing.dataset, [train], [held_out], tmp_path / "job")
    first, second = find_cases(tmp_path / "job").cases
    assert (first.part, first.labelled_slices, first.label) == ("train", "y", train.label)
    assert second.part == "val"


def test_the_table_has_a_row_an_arm() -> None:
    draws = [{"dice": {"left": 0.5}, "mean_dice": 0.5}, {"dice": {"left": 0.7}, "mean_dice": 0.7}]
    section = {
        "data": "d",
        "held_out": 1,
        "cases": 2,
        "epochs": 1,
        "draws": 2,
        "arms": {"complete": draws},
        "files": "",
    }
    table = show(section)
    assert [next(iter(column.cells)) for column in table.columns] == [
        "complete",
        "0.6000",
        "0.6000",
        "0.5000",
        "0.7000",
    ]
