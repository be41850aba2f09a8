"""What is said of an image: volumes, likely Dice of each class, and files that grow with the work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.jobs import apply_results
from MedSegTrainerLib.jobs.apply_results import ApplyResults, case_figures, class_results, likely_by_value
from MedSegTrainerLib.model.likely_dice import UNKNOWN, ClassPoints, Likely, Point, estimate
from MedSegTrainerLib.results_file import CaseResult

CLASSES = (
    LabelClass(value=3, name="kidney", color=(200, 80, 60)),
    LabelClass(value=7, name="cyst", color=(60, 80, 200)),
)
KIDNEY = ClassPoints(
    value=3,
    name="kidney",
    points=[Point(case=f"p{index}", agreement=0.9 + index / 50, dice=0.8 + index / 40) for index in range(4)],
)


@pytest.fixture
def labels() -> sitk.Image:
    """12 voxels of 3 and 2 of 7, of 0.8 x 1.1 x 2.5 mm, on an oblique grid."""
    array = np.zeros((3, 4, 5), np.uint8)
    array[0, :3, :4], array[2, 0, :2] = 3, 7
    direction = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    return Geometry(size=(5, 4, 3), spacing=(0.8, 1.1, 2.5), direction=direction).place(array)


class TestClassResults:
    def test_volumes_and_figures_of_each_class(self, labels: sitk.Image) -> None:
        likely = {3: Likely(likely_dice=0.9, low=0.8, high=0.95)}
        kidney, cyst = class_results(labels, Path("a.nii.gz"), CLASSES, likely, overlapping=False)
        assert (kidney.name, kidney.likely_dice, kidney.low, kidney.high) == ("kidney", 0.9, 0.8, 0.95)
        assert kidney.volume_ml == pytest.approx(12 * 0.8 * 1.1 * 2.5 / 1000)
        assert cyst.likely_dice is None and cyst.volume_ml == pytest.approx(2 * 0.8 * 1.1 * 2.5 / 1000)

    def test_classes_that_overlap(self, labels: sitk.Image) -> None:
        both = tuple(replace(item, value=value) for value, item in enumerate(CLASSES, start=1))
        bits = labels * 0
        bits[0, 0, 0], bits[1, 0, 0] = 3, 2  # both classes; the second alone
        kidney, cyst = class_results(sitk.Cast(bits, sitk.sitkInt32), Path("a.nii.gz"), both, {}, overlapping=True)
        assert cyst.volume_ml == pytest.approx(2 * (kidney.volume_ml or 0)) and kidney.volume_ml

    def test_photographs_have_no_millilitres(self) -> None:
        array = np.full((1, 4, 5), 3, np.uint8)
        kidney, _ = class_results(sitk.GetImageFromArray(array), Path("a.png"), CLASSES, {}, overlapping=False)
        assert kidney.volume_ml is None


class TestLikely:
    def test_by_the_value_of_a_class_and_only_where_the_model_knows(self) -> None:
        told = likely_by_value(CLASSES, [KIDNEY], [0.93, 0.99], unlike=False)
        assert told == {3: estimate(KIDNEY, 0.93)}
        assert likely_by_value(CLASSES, [KIDNEY], [0.93, 0.99], unlike=True)[3] == estimate(KIDNEY, 0.93, unlike=True)
        assert likely_by_value(CLASSES, [KIDNEY], None, unlike=False) == {}
        assert likely_by_value(CLASSES, [], [0.93, 0.99], unlike=False) == {}

    def test_of_the_whole_image(self) -> None:
        figures = case_figures({3: Likely(likely_dice=0.9, low=0.8, high=0.95), 7: UNKNOWN})
        assert figures == {"likely_dice": 0.9, "low": 0.8, "high": 0.95}


class TestApplyResults:
    def test_the_files_are_whole_after_each_image(self, tmp_path: Path) -> None:
        results = ApplyResults(tmp_path, [CaseResult(name="before", likely_dice=0.5)])
        results.add(CaseResult(name="a", likely_dice=0.4))
        results.add(CaseResult(name="a", likely_dice=0.6))
        results.write()
        listed = json.loads((tmp_path / "results.json").read_text())["cases"]
        assert [(case["name"], case["likely_dice"]) for case in listed] == [("before", 0.5), ("a", 0.6)]

    def test_many_quick_images_do_not_wait_for_the_files(self, tmp_path: Path) -> None:
        """Writing takes a tenth of the time at most, and the end has all."""
        results = ApplyResults(tmp_path)
        results.add(CaseResult(name="first"))
        before = (tmp_path / "results.json").stat().st_mtime_ns
        results._next = float("inf")  # as if that had taken long
        results.add(CaseResult(name="second"))
        assert (tmp_path / "results.json").stat().st_mtime_ns == before
        results.write()
        assert "second" in (tmp_path / "results.json").read_text()
        assert apply_results.LARGEST_SHARE < 0.5
