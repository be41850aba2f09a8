"""What an earlier job found in a case is found again to the bit, whatever the case is called now."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cache_folder import SUMS, SharedFolder
from MedSegTrainerLib.data.case_contents import contents_of
from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.known_scans import find_scan, keep_scan
from MedSegTrainerLib.data.checks.scan import examine_cases, scan_cases
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.shared_cases import SharedCases

Variant = Callable[[Case], Case]


@pytest.fixture
def case(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> Case:
    for image, name in zip(oblique_case, ("a", "a_label"), strict=True):
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    return Case(name="a", images=(tmp_path / "a.nrrd",), label=tmp_path / "a_label.nrrd")


def shared_of(root: Path, *cases: Case) -> SharedCases:
    folder = SharedFolder(root / "shared", 10**9)
    folder.open()
    return SharedCases(folder=folder, contents=contents_of(Dataset(root=root, layout="", cases=cases)))


def plain(scan: CaseScan) -> dict[str, Any]:
    return {name: value for name, value in asdict(scan).items() if name != "foreground"}


@pytest.mark.parametrize(
    ("variant", "ignore_label", "thorough"),
    [
        (lambda case: case, None, False), (lambda case: case, None, True),
        (lambda case: replace(case, labelled_slices="z", ignored_value=None), 200, False),
        (lambda case: replace(case, regions={"box": (1, 2)}, segment_values={"box": 1}, overlapping=True), None, False),
    ],
)  # fmt: skip
def test_it_is_the_same(case: Case, tmp_path: Path, variant: Variant, ignore_label: int | None, thorough: bool) -> None:
    case = replace(variant(case), drawn=("box",))
    shared = shared_of(tmp_path, case)
    options: dict[str, Any] = {"ignore_label": ignore_label, "thorough": thorough}
    alone = examine_cases([case], **options)
    assert alone.scans, alone.findings
    first = examine_cases([case], shared=shared, **options)
    again = examine_cases([case], shared=shared, **options)
    [expected], [fresh], [found] = alone.scans, first.scans, again.scans
    assert (first.known, again.known) == (0, 1)
    assert plain(found) == plain(fresh) == plain(expected)
    assert found.foreground.dtype == np.float32 and np.array_equal(found.foreground, expected.foreground)
    assert find_scan(shared, case, 77, thorough=thorough) is None
    assert find_scan(shared, case, ignore_label, thorough=not thorough) is None


def test_a_case_with_another_name_is_called_by_it(case: Case, tmp_path: Path) -> None:
    renamed = replace(case, name="b", drawn=("liver",))
    shared = shared_of(tmp_path, case, renamed)
    examine_cases([case], shared=shared)
    found = find_scan(shared, renamed, None, thorough=False)
    assert found is not None and (found.name, found.drawn) == ("b", ("liver",))


def test_a_case_with_findings_is_read_each_time(case: Case, tmp_path: Path) -> None:
    image = sitk.Cast(sitk.ReadImage(str(case.label)), sitk.sitkFloat32) * 1.0001
    sitk.WriteImage(image, str(case.label))
    shared = shared_of(tmp_path, case)
    for _ in range(2):
        examination = examine_cases([case], shared=shared)
        assert any("rounded" in finding.kind for finding in examination.findings) and not examination.known


@pytest.mark.parametrize("damage", ["text", "values", "array", "shape"])
def test_a_damaged_one_is_made_again(case: Case, tmp_path: Path, damage: str) -> None:
    shared = shared_of(tmp_path, case)
    [scan] = scan_cases([case])
    keep_scan(shared, case, scan, None, thorough=False)
    [entry] = (tmp_path / "shared" / "scans").iterdir()
    document = json.loads((entry / "scan.json").read_text())
    if damage == "text":
        (entry / "scan.json").write_text("{")
    elif damage == "values":
        (entry / "scan.json").write_text(json.dumps({**document, "low": "x"}))
    elif damage == "array":
        (entry / "foreground.npy").write_bytes(b"no array")
    else:
        np.save(entry / "foreground.npy", np.zeros((1, 2, 3), np.float32))
    assert find_scan(shared, case, None, thorough=False) is None  # by its checksums
    sums = {name: cache_sum(entry / name) for name in ("scan.json", "foreground.npy")}
    (entry / SUMS).write_text(json.dumps(sums))
    assert examine_cases([case], shared=shared).known == 0
    assert find_scan(shared, case, None, thorough=False) is not None


def cache_sum(path: Path) -> list[int]:
    return [path.stat().st_size, zlib.crc32(path.read_bytes())]
