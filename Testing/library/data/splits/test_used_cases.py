"""What a job remembers of its cases beside their files, and what of it must not change before a resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.data.case_contents import contents_of
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.data.splits.used_cases import UsedCases, read_used_cases, record_cases
from MedSegTrainerLib.errors import DataError

SPLIT = Split(train=("a",), val=("b",), test=(), reason="")


def dataset(root: Path, **more: Any) -> Dataset:
    for name in ("image", "liver", "spleen"):
        (root / f"{name}.nii").write_text(name)
    masks = {"liver": root / "liver.nii", "spleen": root / "spleen.nii"}
    case = Case(name="a", images=(root / "image.nii",), label=root / "liver.nii")
    first = replace(case, masks=masks, drawn=("liver", "spleen"), labelled_slices="y", **more)
    second = replace(case, name="b", labelled_box=((0, 0, 0), (3, 2, 1)))
    return Dataset(root=root, layout="", cases=(first, second))


def recorded(root: Path, data: Dataset) -> UsedCases:
    record_cases(data, SPLIT).write(root / "used_cases.json")
    used = read_used_cases(root / "used_cases.json")
    assert used is not None
    return used


def changed(data: Dataset, **fields: Any) -> Dataset:
    return replace(data, cases=(replace(data.cases[0], **fields), *data.cases[1:]))


def test_what_is_known_comes_back(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    used = recorded(tmp_path, data)
    assert used.as_at_start(data, "").cases == data.cases
    assert used.cases["b"].labelled_box == ((0, 0, 0), (3, 2, 1)) and used.cases["a"].drawn == ("liver", "spleen")
    assert {name: file.path for name, file in used.cases["a"].masks.items()} == {
        "liver": "liver.nii",
        "spleen": "spleen.nii",
    }
    reordered = changed(data, drawn=("spleen", "liver"))
    assert used.as_at_start(reordered, "").cases[0].drawn == ("spleen", "liver")


def test_what_was_read_for_the_division_is_not_read_again(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    contents = contents_of(data)
    for path in tmp_path.glob("*.nii"):
        path.unlink()
    assert record_cases(data, SPLIT, contents).cases == contents


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"drawn": ("liver",)}, "other classes were drawn: a"),
        ({"drawn": None}, "other classes were drawn: a"),
        ({"labelled_slices": "auto"}, "other labelled slices: a"),
        ({"labelled_box": ((0, 0, 0), (1, 1, 1))}, "another labelled box: a"),
        ({"masks": {}}, "masks of other classes: a"),
    ],
)
def test_what_changed(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    data = dataset(tmp_path)
    with pytest.raises(DataError) as caught:
        recorded(tmp_path, data).as_at_start(changed(data, **fields), "begin anew")
    assert message in str(caught.value) and "begin anew" in str(caught.value)


def test_a_mask_that_changed(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    used = recorded(tmp_path, data)
    (tmp_path / "spleen.nii").write_text("another one")
    with pytest.raises(DataError, match="mask of spleen changed: a"):
        used.as_at_start(data, "")


def test_records_of_earlier_versions(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    plain = replace(data, cases=tuple(replace(case, masks={}, drawn=None, labelled_slices="", labelled_box=None)
                                      for case in data.cases))  # fmt: skip
    recorded(tmp_path, plain)
    document = json.loads((tmp_path / "used_cases.json").read_text())
    for case in document["cases"].values():
        for key in ("masks", "drawn", "labelled_slices", "labelled_box"):
            del case[key]
    (tmp_path / "used_cases.json").write_text(json.dumps(document))
    used = read_used_cases(tmp_path / "used_cases.json")
    assert used is not None and used.as_at_start(plain, "").cases == plain.cases
    with pytest.raises(DataError, match="other classes were drawn: a"):
        used.as_at_start(changed(plain, drawn=("liver",)), "")
