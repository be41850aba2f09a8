"""What is measured of a case, and that everything wrong with a data set is told at once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.scan import MOST_THREADS, SAMPLES_PER_CASE, examine_cases, scan_cases, thread_count
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical


def write_case(folder: Path, name: str, label: sitk.Image, *images: sitk.Image) -> Case:
    paths = [folder / f"{name}_{index}.nrrd" for index in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        sitk.WriteImage(image, str(path))
    sitk.WriteImage(label, str(folder / f"{name}_label.nrrd"))
    return Case(name=name, images=tuple(paths), label=folder / f"{name}_label.nrrd")


@pytest.fixture
def case(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> Case:
    image, label = oblique_case
    return write_case(tmp_path, "good", label, image, image * -2)


def scan_case(case: Case, ignore_label: int | None = None) -> CaseScan:
    return scan_cases([case], ignore_label=ignore_label)[0]


class TestScanCase:
    def test_measures(self, case: Case, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        image, label = (sitk.GetArrayFromImage(part) for part in oblique_case)
        scan = scan_case(case)
        assert scan.voxels == {0: 9 * 13 * 17 - 350, 1: 350 - 24, 2: 24}
        assert scan.low == pytest.approx((image.min(), -2 * image.max()))
        assert scan.high == pytest.approx((image.max(), -2 * image.min()))
        assert scan.foreground.shape == (2, 350)
        assert np.sort(scan.foreground[0]) == pytest.approx(np.sort(image[label > 0]))
        assert scan.foreground[1] == pytest.approx(-2 * scan.foreground[0])

    def test_voxels_that_nobody_labelled_are_not_counted(
        self, case: Case, oblique_case: tuple[sitk.Image, sitk.Image]
    ) -> None:
        image, label = (sitk.GetArrayFromImage(part) for part in oblique_case)
        scan = scan_case(case, ignore_label=1)
        assert scan.voxels == {0: 9 * 13 * 17 - 350, 2: 24}
        assert np.sort(scan.foreground[0]) == pytest.approx(np.sort(image[label == 2]))

    def test_its_grid_is_canonical(self, case: Case, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        expected = Geometry.of(to_canonical(oblique_case[0]))
        assert expected.orientation() == "LPS" != Geometry.of(oblique_case[0]).orientation()
        assert expected.disagreements(scan_case(case).geometry) == []

    def test_a_hot_voxel_is_a_warning(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        image, label = oblique_case
        image[3, 4, 5] = 1e9
        (finding,) = [
            one
            for one in examine_cases([write_case(tmp_path, "a", label, image)]).findings
            if one.kind == "voxels far beyond all others"
        ]
        assert (finding.severity, finding.case) == ("warning", "a")
        assert "1 voxel of up to 1e+09" in finding.message

    @pytest.mark.parametrize("voxels", [SAMPLES_PER_CASE + 1, 2 * SAMPLES_PER_CASE - 1, 3 * SAMPLES_PER_CASE + 7])
    def test_samples_are_spread_over_the_whole_foreground(self, tmp_path: Path, voxels: int) -> None:
        """The intensity is the place of the voxel, so the samples show where they were taken."""
        geometry = Geometry(size=(20, 40, 30))
        image = np.arange(24000, dtype=np.float32).reshape(geometry.size_zyx)
        scan = scan_case(
            write_case(tmp_path, "a", geometry.place((image < voxels).astype(np.uint8)), geometry.place(image))
        )
        samples = np.sort(scan.foreground[0])
        assert len(np.unique(samples)) == SAMPLES_PER_CASE
        assert (samples[0], samples[-1]) == (0, voxels - 1)
        assert np.diff(samples).max() <= np.ceil(voxels / SAMPLES_PER_CASE)

    def test_without_foreground_samples_come_from_anywhere(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
    ) -> None:
        case = write_case(tmp_path, "a", oblique_case[1] * 0, oblique_case[0])
        (scan,) = examine_cases([case]).scans
        assert scan.foreground.shape == (1, 9 * 13 * 17)

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    def test_intensities_that_are_no_numbers(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, wrong: float
    ) -> None:
        image, label = oblique_case
        broken = sitk.Image(image)
        broken[1, 2, 3] = wrong
        with pytest.raises(DataError, match=r"a_1\.nrrd: 1 voxels are NaN or infinite"):
            scan_case(write_case(tmp_path, "a", label, image, broken))

    def test_image_and_label_on_different_grids(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
    ) -> None:
        image, label = oblique_case
        moved = replace(Geometry.of(label), origin=(0.0, 0.0, 0.0)).place(sitk.GetArrayFromImage(label))
        with pytest.raises(DataError, match=r"a: image and label lie on different grids \(origin ") as caught:
            scan_case(write_case(tmp_path, "a", moved, image))
        assert "(-31.5, 12.25, 7)" in str(caught.value)


class TestScanCases:
    def test_keeps_the_order_and_counts(self, case: Case, tmp_path: Path) -> None:
        cases = [replace(case, name=name) for name in "dacb"]
        seen: list[int] = []
        scans = scan_cases(cases, lambda: seen.append(1))
        assert [scan.name for scan in scans] == list("dacb")
        assert len(seen) == 4

    def test_tells_all_problems(self, case: Case, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        image, label = oblique_case
        one_channel = write_case(tmp_path, "single", label, image)
        missing = replace(case, name="missing", images=(tmp_path / "nowhere.nrrd",))
        no_label = write_case(tmp_path, "probability", image, image)
        with pytest.raises(DataError) as caught:
            scan_cases([case, one_channel, missing, no_label])
        lines = str(caught.value).splitlines()
        assert lines[0] == "3 problems with the data:"
        assert "nowhere.nrrd does not exist" in lines[1]
        assert "probability_label.nrrd is no label map" in lines[2]
        assert "different numbers of channels: 1 in single, 2 in good" in lines[3]

    def test_one_problem_is_told_alone(self, case: Case, tmp_path: Path) -> None:
        missing = replace(case, label=tmp_path / "nowhere.nrrd")
        with pytest.raises(DataError, match=r"^[^\n]*nowhere\.nrrd does not exist[^\n]*$"):
            scan_cases([case, missing])

    def test_labels_that_are_all_empty(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        empty = write_case(tmp_path, "a", oblique_case[1] * 0, oblique_case[0])
        with pytest.raises(DataError, match="No label map has a labelled voxel"):
            scan_cases([empty])

    def test_nothing_but_what_nobody_labelled(
        self, tmp_path: Path, oblique_case: tuple[sitk.Image, sitk.Image]
    ) -> None:
        image, label = oblique_case
        unlabelled = write_case(tmp_path, "a", sitk.Cast(label > 0, sitk.sitkUInt8) * 9, image)
        with pytest.raises(DataError, match=r"all are 0 or data\.ignore_label = 9"):
            scan_cases([unlabelled], ignore_label=9)


class TestThreads:
    @pytest.mark.parametrize(("asked", "threads"), [(0, 1), (1, 1), (3, 3), (20, 20)])
    def test_as_many_as_asked_for(self, asked: int, threads: int) -> None:
        assert thread_count(asked) == threads

    def test_auto_is_what_the_machine_has(self) -> None:
        assert thread_count("auto") == min(MOST_THREADS, os.cpu_count() or 1)

    @pytest.mark.parametrize("threads", [0, 2])
    def test_change_nothing(self, case: Case, threads: int) -> None:
        scans = scan_cases([case, replace(case, name="again")], num_workers=threads)
        assert [scan.name for scan in scans] == ["good", "again"]
        assert scans[0].voxels == scans[1].voxels
