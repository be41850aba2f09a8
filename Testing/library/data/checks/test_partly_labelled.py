"""The data doctor on cases that are labelled in part: what it says, and what it does not cry out about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.fingerprint import take_fingerprint
from MedSegTrainerLib.data.checks.scan import Examination, examine_cases
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split, without_cases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map

CASES = 6


def every_fourth_coronal(source: Path, folder: Path, *, step: int = 4) -> Dataset:
    """Real hippocampi of which every fourth coronal slice is drawn, and the rest of the file 0."""
    entries = []
    folder.mkdir()
    for path in sorted((source / "labelsTr").glob("*.nii.gz"))[:CASES]:
        label = sitk.ReadImage(str(path))
        values = sitk.GetArrayFromImage(label)
        values[:, np.arange(values.shape[1]) % step != 1] = 0
        write_label_map(Geometry.of(label).place(values.astype(np.int32)), folder / path.name, ())
        image = str(source / "imagesTr" / path.name)
        name = path.name.removesuffix(".nii.gz")
        entries.append({"name": name, "images": [image], "label": path.name, "labelled_slices": "auto"})
    names = find_cases(source).label_names
    classes = [{"value": value, "name": name, "color": [9, 9, 9]} for value, name in names.items()]
    (folder / "cases.json").write_text(json.dumps({"cases": entries, "classes": classes}))
    return find_cases(folder)


def examine(dataset: Dataset, ignored: int = -1) -> Examination:
    return examine_cases(dataset.cases, ignore_label=ignored, label_names=dataset.label_names, thorough=True)


@pytest.fixture
def real(shared_data: Path, tmp_path: Path) -> Dataset:
    return every_fourth_coronal(shared_data / "hippocampus", tmp_path / "data")


def fully_drawn(shared_data: Path, real: Dataset) -> Dataset:
    """The same cases as they are in the data set."""
    full, names = find_cases(shared_data / "hippocampus"), {case.name for case in real.cases}
    return replace(full, cases=tuple(case for case in full.cases if case.name in names))


def test_real_coronal_slices_make_no_false_alarm(real: Dataset, shared_data: Path) -> None:
    examination = examine(real)
    usual = {(finding.case, finding.kind) for finding in examine(fully_drawn(shared_data, real)).findings}
    new = [finding for finding in examination.findings if (finding.case, finding.kind) not in usual]
    assert {finding.kind for finding in new} == {"labelled in part"} and len(new) == CASES
    scan = examination.scans[0]
    assert scan.known is not None and scan.known.is_of_slices and scan.known.has_gaps
    slices = f"{scan.known.slices} of {scan.geometry.size_zyx[1]} slices along y"
    assert new[0].message.startswith(f"labelled in {slices}, ") and new[0].message.endswith(" % of the voxels.")


def test_without_the_key_the_same_files_are_doubtful(real: Dataset, shared_data: Path) -> None:
    whole = replace(real, cases=tuple(replace(case, labelled_slices="") for case in real.cases))
    examination = examine(whole)
    assert all(scan.known is None for scan in examination.scans)
    doubtful = [finding for finding in examination.findings if finding.kind == "single slices"]
    assert len(doubtful) == CASES and "are single slices along y with" in doubtful[0].message
    assert "--set labelled_slices=auto" in doubtful[0].remedy and doubtful[0].severity == "warning"
    assert not any(scan.single_slices for scan in examine(fully_drawn(shared_data, real)).scans)


def test_shares_are_of_what_is_labelled(real: Dataset, shared_data: Path) -> None:
    """Of every fourth slice about what they are of all of them; volumes too, while a quarter of the voxels is there."""
    full = fully_drawn(shared_data, real)
    sparse_scans, full_scans = examine(real).scans, examine(full).scans
    sparse = take_fingerprint(real, sparse_scans, -1)
    complete = take_fingerprint(full, full_scans)
    assert sparse.labelled_along == "y" and complete.labelled_along == ""
    for name, volume in complete.median_volume_mm3.items():
        assert sparse.median_volume_mm3[name] == pytest.approx(volume, rel=0.15)
    mixed = take_fingerprint(full, [*sparse_scans[:3], *full_scans[3:]], -1)
    assert mixed.labelled_along == ""
    assert mixed.median_volume_mm3 == take_fingerprint(full, full_scans[3:]).median_volume_mm3
    known = sum(scan.known_voxels for scan in sparse_scans)
    for item in sparse.classes:
        labelled = sum(scan.voxels[item.value] for scan in sparse_scans)
        assert sparse.voxel_share[item.name] == pytest.approx(labelled / known)


def write_case(folder: Path, name: str, values: np.ndarray, **more: object) -> Case:
    geometry = Geometry(size=(12, 14, 9), spacing=(1.0, 1.5, 2.0))
    noise = np.random.default_rng(len(name) + ord(name[0])).normal(100, 20, geometry.size_zyx)
    image = np.where(values > 0, noise + 200, noise).astype(np.float32)
    write_label_map(geometry.place(values), folder / f"{name}_label.nrrd", ())
    sitk.WriteImage(geometry.place(image), str(folder / f"{name}.nrrd"))
    return Case(name=name, images=(folder / f"{name}.nrrd",), label=folder / f"{name}_label.nrrd", **more)  # type: ignore[arg-type]


def structure() -> np.ndarray:
    values = np.zeros((9, 14, 12), np.int32)
    values[2:7, 3:11, 3:9] = 1
    return values


def scanned(case: Case) -> tuple[CaseScan, list[tuple[str, str]]]:
    examination = examine_cases([case], ignore_label=-1, thorough=True)
    return examination.scans[0], [(finding.severity, finding.kind) for finding in examination.findings]


def test_a_case_that_looks_fully_drawn(tmp_path: Path) -> None:
    scan, found = scanned(write_case(tmp_path, "a", structure(), labelled_slices="auto"))
    assert ("warning", "labelled slices without a gap") in found
    assert scan.known is not None and scan.known.axis == "z" and scan.known.slices == 5
    _, found = scanned(write_case(tmp_path, "a", structure(), labelled_slices="z"))
    assert found == [("note", "labelled in part")]


def test_one_slice_is_no_full_drawing(tmp_path: Path) -> None:
    values = structure()
    values[:, np.arange(14) != 6] = 0
    scan, found = scanned(write_case(tmp_path, "a", values, labelled_slices="auto"))
    assert found == [("note", "labelled in part")]
    assert str(scan.known) == "labelled in 1 of 14 slices along y, 7.1 % of the voxels"


def test_where_nobody_can_tell_the_case_is_refused(tmp_path: Path) -> None:
    values = np.zeros((9, 14, 12), np.int32)
    values[2:6, 3:7, 3:7] = 1
    examination = examine_cases([write_case(tmp_path, "a", values, labelled_slices="auto")], ignore_label=-1)
    assert not examination.scans
    [finding] = examination.findings
    assert (finding.severity, finding.kind) == ("error", "label map that cannot be used")
    assert "nobody can tell along which axis its slices were labelled" in finding.message


def test_a_case_in_which_nothing_is_labelled(tmp_path: Path) -> None:
    empty = write_case(tmp_path, "a", structure() * 0, labelled_slices="y")
    examination = examine_cases([empty, write_case(tmp_path, "b", structure())], ignore_label=-1)
    [finding] = [one for one in examination.findings if one.case == "a"]
    assert (finding.severity, finding.kind) == ("warning", "case without labels")
    assert examination.scans[0].foreground.shape[1] > 0 and examination.scans[0].known_voxels == 0


def test_such_a_case_is_left_out() -> None:
    split = Split(train=("a", "b"), val=("c",), test=("d",), reason="by hand")
    assert without_cases(split, []) is split and without_cases(split, ["e"]) is split
    left = without_cases(split, ["b", "c"])
    assert (left.train, left.val, left.test) == (("a",), (), ("d",))
    assert left.reason == "by hand; without b, c, in which nothing is labelled"
    with pytest.raises(DataError, match=r"Nothing is labelled in any of the training cases \(a, b\)"):
        without_cases(split, ["a", "b"])
