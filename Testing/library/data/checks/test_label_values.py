"""Label values that may mean something else than a class each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.label_values import VALUE_CHECKS, as_class, is_soft
from MedSegTrainerLib.data.checks.scan import Examination, examine_cases
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.geometry import Geometry

GEOMETRY = Geometry(size=(9, 7, 5), spacing=(0.7, 1.1, 3.0), origin=(12.0, -30.0, 5.0))
SOFT = {0: 3484, 255: 305, **{17 * step: 20 for step in range(1, 15)}}  # a mask that was resized with anti-aliasing


def scan(number: int, voxels: dict[int, int]) -> CaseScan:
    return CaseScan(
        name=f"c{number}", geometry=GEOMETRY, foreground=np.zeros((1, 1)), low=(0.0,), high=(1.0,), voxels=voxels
    )


def findings(*voxels: dict[int, int], names: dict[int, str] | None = None, ignore: int | None = None) -> list[Finding]:
    scans = [scan(number, own) for number, own in enumerate(voxels)]
    examined = Examined(scans=scans, names=names or {}, ignore_label=ignore)
    return [finding for check in VALUE_CHECKS.values() for finding in check(examined)]


def kinds(*voxels: dict[int, int], **options: object) -> list[tuple[str, str, str]]:
    return [(finding.case, finding.severity, finding.kind) for finding in findings(*voxels, **options)]  # type: ignore[arg-type]


class TestAsClass:
    @pytest.mark.parametrize(
        "values, classes, expected",
        [
            ([0, 255, 255], [1], [0, 1, 1]),
            ([0, 1, 0], [255], [0, 255, 0]),
            ([0, 1, 255], [1], [0, 1, 255]),  # both stand in it: no binary mask
            ([0, 128, 255], [1], [0, 128, 255]),
            ([0, 255], [1, 2], [0, 255]),
            ([0, 255], [2], [0, 255]),
            ([0, 1], [1], [0, 1]),
            ([0, 0], [1], [0, 0]),
        ],
    )
    def test_binary_masks_alone(self, values: list[int], classes: list[int], expected: list[int]) -> None:
        assert as_class(np.array(values, np.int32), classes).tolist() == expected

    def test_voxels_that_nobody_labelled_stay(self) -> None:
        assert as_class(np.array([0, 255, 9]), [1], ignore_label=9).tolist() == [0, 1, 9]
        assert as_class(np.array([0, 255]), [1], ignore_label=255).tolist() == [0, 255]


class TestMixedMasks:
    """Some of 0 and 1, some of 0 and 255, in files."""

    def examine(
        self, tmp_path: Path, values: list[tuple[int, ...]], names: dict[int, str] | None = None
    ) -> Examination:
        cases = []
        for number, own in enumerate(values):
            array = np.zeros(GEOMETRY.size_zyx, np.uint8)
            for place, value in enumerate(own):
                array[1 + place, 2:5, 3 + number % 2 : 8] = value
            rng = np.random.default_rng(number)
            for kind, volume in (("image", array + rng.normal(0, 0.1, array.shape)), ("label", array)):
                sitk.WriteImage(GEOMETRY.place(volume), str(tmp_path / f"{number}_{kind}.nrrd"))
            cases.append(
                Case(
                    name=f"c{number}",
                    images=(tmp_path / f"{number}_image.nrrd",),
                    label=tmp_path / f"{number}_label.nrrd",
                )
            )
        return examine_cases(cases, num_workers=1, label_names=names)

    def test_they_are_one_class(self, tmp_path: Path) -> None:
        examination = self.examine(tmp_path, [(1,), (255,), (1,), (255,)])
        assert [set(one.voxels) for one in examination.scans] == [{0, 1}] * 4
        assert all(one.stats and set(one.stats.centers) == {1} for one in examination.scans)
        [finding] = [one for one in examination.findings if one.kind == "masks of 0 and 1 and of 0 and 255"]
        assert finding.severity == "warning"
        assert "2 are of 0 and 255 (c1, c3)" in finding.message and "one class, of value 1" in finding.message

    def test_a_name_decides_which_value_it_has(self, tmp_path: Path) -> None:
        examination = self.examine(tmp_path, [(1,), (255,)], {255: "cell"})
        assert [set(one.voxels) for one in examination.scans] == [{0, 255}] * 2

    def test_not_where_both_stand_in_a_mask(self, tmp_path: Path) -> None:
        examination = self.examine(tmp_path, [(1,), (255,), (1, 255)])
        assert [set(one.voxels) for one in examination.scans] == [{0, 1}, {0, 255}, {0, 1, 255}]


class TestSoftEdges:
    def test_are_no_classes(self) -> None:
        [finding] = findings(SOFT)
        assert finding.severity == "error"
        assert "14 gray values (17, 34, 51, 68, 85 and 9 more)" in finding.message
        assert "below 128" in finding.remedy

    def test_noise_of_a_jpeg_that_was_saved_as_png(self) -> None:
        assert is_soft({0: 900, 255: 300, **{value: 9 for value in (1, 2, 3, 4, 246, 250, 252, 253, 254)}})

    def test_few_grays_are_told(self) -> None:
        assert kinds({0: 900, 64: 10, 128: 9, 191: 12, 255: 300}) == [("c0", "warning", "gray values in a mask")]

    @pytest.mark.parametrize(
        "voxels",
        [
            {0: 100, 128: 50, 255: 50},  # cup and disc
            {value: 50 for value in range(40)},
            {0: 100, 36: 70, 73: 90, 109: 60, 146: 80, 182: 70, 219: 60, 250: 20},
            {0: 900, 255: 300},
        ],
    )
    def test_classes_stay(self, voxels: dict[int, int]) -> None:
        assert kinds(voxels, voxels) == []

    def test_grays_that_have_names_are_classes(self) -> None:
        assert kinds(SOFT, names={value: str(value) for value in SOFT if value}) == []


class TestUncertain:
    def test_255_beside_small_values(self) -> None:
        [finding] = findings({0: 90, 1: 9, 2: 9, 255: 9}, {0: 90, 1: 9, 2: 7})
        assert (finding.severity, finding.kind) == ("warning", "a value that often means 'not labelled'")
        assert "--set ignore_label=255" in finding.remedy

    def test_where_it_is_known_nothing_is_said(self) -> None:
        voxels = {0: 90, 1: 9, 2: 9, 255: 9}
        assert kinds(voxels, names={1: "a", 2: "b", 255: "c"}) == []
        assert kinds({0: 90, 1: 9, 2: 9}, ignore=255) == []

    def test_negative_values(self) -> None:
        [finding] = findings({0: 90, 1: 9, -1: 4})
        assert finding.severity == "error"
        assert "--set ignore_label=-1" in finding.remedy
        assert kinds({0: 90, 1: 9, -1: 4}, names={1: "a", -1: "b"}) == []

    def test_a_class_named_ignore(self) -> None:
        voxels = {0: 90, 1: 9, 3: 5}
        assert kinds(voxels, names={1: "organ", 3: "ignore"}, ignore=2) == [("", "warning", "a class named 'ignore'")]
        assert kinds(voxels, names={1: "organ", 3: "ignore"}, ignore=3) == []


class TestNumbering:
    def test_the_same_number_of_other_values(self) -> None:
        [finding] = findings({0: 9, 1: 5, 2: 5}, {0: 9, 2: 5, 3: 5})
        assert finding.severity == "warning"
        assert "1, 2 in c0; 2, 3 in c1" in finding.message

    def test_a_structure_that_is_sometimes_missing(self) -> None:
        assert kinds({0: 9, 1: 5, 2: 5}, {0: 9, 1: 5}, {0: 9}) == []
