"""Files are compared by their bytes, and only where name, size or time of change are others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MedSegTrainerLib.data.case_contents import changed_files, changes, contents_of, record_case
from MedSegTrainerLib.data.dataset import Case, Dataset


@pytest.fixture
def case(tmp_path: Path) -> Case:
    for name in ("image.nrrd", "label.nrrd", "mask.nrrd"):
        (tmp_path / name).write_text(name)
    return Case(name="a", images=(tmp_path / "image.nrrd",), label=tmp_path / "label.nrrd")


def test_equal_bytes_have_equal_contents(case: Case, tmp_path: Path) -> None:
    (tmp_path / "copy.nrrd").write_text("image.nrrd")
    one, other = (
        record_case(replace(case, images=(path,)), tmp_path) for path in (*case.images, tmp_path / "copy.nrrd")
    )
    assert one.images[0].content == other.images[0].content != one.label.content
    assert one.images[0].path == "image.nrrd" and one.images[0].stamp != other.images[0].stamp


def test_what_cannot_be_read_is_left_out(case: Case, tmp_path: Path) -> None:
    gone = replace(case, name="b", label=tmp_path / "gone.nrrd")
    assert list(contents_of(Dataset(root=tmp_path, layout="", cases=(case, gone)))) == ["a"]


def test_changes_are_named(case: Case, tmp_path: Path) -> None:
    record = record_case(case, tmp_path)
    assert changes(record, case) == changed_files(record, case) == []
    assert changes(record, replace(case, drawn=("x",), labelled_slices="z", labelled_box=((0, 0, 0), (1, 1, 1)))) == [
        "other classes were drawn", "other labelled slices", "another labelled box"
    ]  # fmt: skip
    assert changes(record, replace(case, images=(case.label, case.label))) == ["another number of image files"]
    assert changes(record, replace(case, masks={"m": tmp_path / "mask.nrrd"})) == ["masks of other classes"]
    case.images[0].write_text("other")
    case.label.touch()
    assert changed_files(record, case) == ["image changed"]
