"""Checks that need no files: what is said of scans, and what is not. The folder of defects is in integration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.case_statistics import CaseStatistics
from MedSegTrainerLib.data.checks.doctor import CHECKS, diagnose
from MedSegTrainerLib.data.dataset import IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.geometry import Geometry

LIVER = {0: 9000, 1: 600}


def scan(number: int, voxels: dict[int, int] | None = None, channels: int = 1, **stats: Any) -> CaseScan:
    values = {
        "image_digest": f"i{number}", "label_digest": f"l{number}", "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1),
        "ranges": ((0.0, 100.0 + number),) * channels, "dark": 0.0, "padded": 0.0, "levels": {}, "centers": {},
    }  # fmt: skip
    return CaseScan(
        name=f"case_{number}", geometry=Geometry(size=(30, 20, 16), spacing=(1.0, 1.1, 2.5)),
        foreground=np.zeros((channels, 1)), low=(0.0,) * channels, high=(110.0,) * channels,
        voxels=voxels or LIVER, stats=CaseStatistics(**{**values, **stats}),
    )  # fmt: skip


def several(*odd: CaseScan, count: int = 6) -> list[CaseScan]:
    return [*(scan(number) for number in range(count)), *odd]


def kinds(scans: list[CaseScan], **options: Any) -> list[tuple[str, str, str]]:
    return [(finding.case, finding.severity, finding.kind) for finding in diagnose(Examined(scans=scans, **options))]


def only(scans: list[CaseScan], **options: Any) -> Finding:
    [finding] = diagnose(Examined(scans=scans, **options))
    return finding


class TestChecks:
    def test_healthy_cases(self) -> None:
        assert kinds(several(), names={1: "liver"}) == []
        assert kinds([]) == []
        assert kinds([scan(1)]) == []

    def test_segments_that_are_named_by_their_case(self) -> None:
        scans = [scan(number, {0: 9000, number + 1: 600}) for number in range(3)]
        names = {number + 1: f"case_{number}-label" for number in range(3)}
        first = diagnose(Examined(scans=scans, names=names))[0]
        assert (first.kind, first.severity) == ("segments named by their case", "warning")
        assert "'case_0-label' in case_0" in first.message and "the same name in all cases" in first.remedy
        assert "segments named by their case" not in {
            finding.kind for finding in diagnose(Examined(scans=scans, names={1: "liver", 2: "case_1", 3: "case_2"}))
        }

    def test_scans_without_traits_pass(self) -> None:
        assert kinds([replace(one, stats=None) for one in several()]) == []

    def test_each_has_a_name(self) -> None:
        assert len(set(CHECKS.values())) == len(CHECKS) == 28

    def test_many_values(self) -> None:
        crowd = scan(9, {value: 50 for value in range(300)})
        assert ("case_9", "warning", "very many label values") in kinds(several(crowd))

    def test_no_background(self) -> None:
        finding = only(several(scan(9, {1: 9600})))
        assert (finding.case, finding.severity) == ("case_9", "warning")
        assert "inverted" in finding.remedy
        assert kinds(several(scan(9, {1: 9600})), ignore_label=7) == []

    def test_jpeg_labels(self, tmp_path: Path) -> None:
        """By what the files hold, not by their names."""
        labels = {"case_2": tmp_path / "case_2.png", "case_3": tmp_path / "case_3.png"}
        for path, kind in zip(labels.values(), ("JPEG", "PNG"), strict=True):
            Image.new("L", (8, 8)).save(path, format=kind)
        finding = only(several(), labels=labels)
        assert (finding.case, finding.kind) == ("case_2", "label map as JPEG")

    def test_one_constant_channel_of_two_is_a_warning(self) -> None:
        flat = replace(scan(9, channels=2), low=(0.0, 3.0), high=(110.0, 3.0))
        scans = [scan(number, channels=2) for number in range(6)]
        finding = only([*scans, flat])
        assert (finding.case, finding.severity, finding.message) == (
            "case_9",
            "warning",
            "channel 1 of its image is 3 everywhere.",
        )

    def test_the_same_label_map_of_different_images(self) -> None:
        finding = only(several(scan(9, label_digest="l2")))
        assert (finding.case, finding.kind) == ("case_9", "the same label map twice")
        assert "case_2" in finding.message

    def test_a_copied_image_with_another_label_map(self) -> None:
        finding = only(several(scan(9, image_digest="i2")))
        assert finding.message == "its image is that of case_2, with another label map."

    def test_empty_labels_are_no_copies_of_each_other(self) -> None:
        empty = [scan(number, {0: 9600}, label_digest="") for number in (8, 9)]
        assert [kind for _, _, kind in kinds(several(*empty))] == ["empty label map"] * 2

    def test_a_named_class_that_nobody_drew(self) -> None:
        finding = only(several(), names={1: "liver", 2: "tumor"})
        assert (finding.case, finding.severity) == ("", "warning")
        assert finding.message.startswith("No case has any voxel of 'tumor'")

    def test_a_class_in_two_of_many_cases(self) -> None:
        rare = [scan(number, {0: 9000, 1: 300, 2: 300}) for number in (20, 21)]
        assert kinds(several(*rare, count=5)) == []
        finding = only(several(*rare, count=12))
        assert (finding.case, finding.kind) == ("", "class in too few cases")
        assert "2 of 14 cases (case_20, case_21)" in finding.message

    def test_what_nobody_labelled_is_no_rare_class(self) -> None:
        assert kinds(several(), names={1: "liver", 9: "unknown"}, ignore_label=9) == []

    def test_only_what_nobody_labelled_has_a_name(self) -> None:
        assert kinds(several(), names={9: "unknown"}, ignore_label=9) == []

    def test_a_rare_class(self) -> None:
        scans = [scan(number, {0: 90_000, 1: 600, 2: 3}) for number in range(5)]
        assert kinds(scans, names={1: "liver", 2: "duct"}) == [("", "note", "rare class")]

    def test_a_binary_mask_of_255_keeps_its_name(self) -> None:
        white = [scan(number, {0: 9000, 255: 600}) for number in range(5)]
        assert kinds(white, names={1: "cell"}) == []
        assert kinds([*white[:4], scan(9)], names={1: "cell"})[0] == (
            "case_0",
            "error",
            "label values without a name",
        )

    def test_labels_on_padding(self) -> None:
        finding = only(several(scan(9, padded=0.4, dark=0.4)))
        assert (finding.case, finding.kind) == ("case_9", "labels where the image shows nothing")
        assert finding.message.startswith("40%")

    def test_labels_on_padding_in_every_case_are_usual(self) -> None:
        assert kinds([scan(number, padded=0.3, dark=0.3) for number in range(6)]) == []

    def test_a_class_over_other_tissue(self) -> None:
        scans = [scan(number, levels={1: (1.5 + number / 50,)}) for number in range(6)]
        finding = only([*scans, scan(9, levels={1: (-0.8,)})])
        assert (finding.case, finding.severity, finding.kind) == ("case_9", "note", "labels over other tissue")
        assert "darker than in the other cases, by 2.3" in finding.message

    def test_several_scales_of_intensity_are_one_note(self) -> None:
        loud = [scan(number, ranges=((0.0, 90_000.0),)) for number in (20, 21, 22)]
        assert kinds(several(*loud, count=7)) == [("", "note", "several scales of intensity")]

    def test_thick_slices(self) -> None:
        thick = [
            replace(one, geometry=Geometry(size=(30, 20, 16), spacing=(0.8, 0.9, 5.0))) for one in several(count=4)
        ]
        assert kinds(thick) == [("", "note", "thick slices")]

    def test_places_tell_sides_where_names_do_not(self) -> None:
        centers, stds = {1: (10.0, 10.0, 5.0), 2: (10.0, 10.0, 25.0)}, dict.fromkeys((1, 2), (2.0, 2.0, 3.0))
        cases = [scan(number, {0: 9000, 1: 300, 2: 300}, centers=centers, stds=stds) for number in range(5)]
        finding = only(cases)
        assert (finding.severity, finding.kind) == ("note", "left and right")
        assert "'label 1' and 'label 2' lie on opposite sides along x in 5 of 5 cases" in finding.message

    def test_left_and_right_in_pictures_are_no_sides(self) -> None:
        flat = [
            replace(scan(number, {0: 9000, 1: 300, 2: 300}), geometry=Geometry(size=(30, 20, 1))) for number in range(5)
        ]
        assert kinds(flat, names={1: "left eye", 2: "right eye"}) == []


class TestIncomplete:
    def checked(self, root: Path) -> tuple[list[str], list[tuple[str, str]]]:
        try:
            find_cases(root)
        except IncompleteError as error:
            return [case.name for case in error.dataset.cases], [(one.case, one.kind) for one in error.findings]
        raise AssertionError("nothing was missing")

    def touch(self, root: Path, *names: str) -> None:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def test_two_folders(self, tmp_path: Path) -> None:
        self.touch(tmp_path, *(f"images/{name}.nii" for name in "abc"), *(f"labels/{name}.nii" for name in "bcd"))
        kind = "file without counterpart"
        assert self.checked(tmp_path) == (["b", "c"], [("a", kind), ("d", kind)])

    def test_nnunet(self, tmp_path: Path) -> None:
        self.touch(tmp_path, *(f"imagesTr/{name}.nii" for name in ("a_0000", "a_0001", "b_0000", "c_0000", "c_0001")))
        self.touch(tmp_path, "labelsTr/a.nii", "labelsTr/b.nii")
        assert self.checked(tmp_path) == (
            ["a"],
            [("c", "file without counterpart"), ("b", "missing channel")],
        )

    def test_decathlon(self, tmp_path: Path) -> None:
        self.touch(tmp_path, "imagesTr/a.nii", "labelsTr/a.nii", "imagesTr/b.nii")
        entries = ", ".join(f'{{"image": "imagesTr/{n}.nii", "label": "labelsTr/{n}.nii"}}' for n in "ab")
        (tmp_path / "dataset.json").write_text(f'{{"training": [{entries}]}}', encoding="utf-8")
        assert self.checked(tmp_path) == (["a"], [("b", "missing file")])

    def test_case_folders(self, tmp_path: Path) -> None:
        self.touch(tmp_path, "a/image.nii", "a/mask.nii", "b/image.nii")
        assert self.checked(tmp_path) == (["a"], [("b", "file without counterpart")])
