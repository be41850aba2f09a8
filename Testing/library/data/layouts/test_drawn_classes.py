"""drawn.json beside any layout: which classes were looked for in which case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError

NAMES = {"labels": {"background": 0, "liver": 1, "spleen": 2}}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def touch(root: Path, *names: str) -> None:
    for name in names:
        write(root / name, "")


def data(root: Path, drawn: Any, *, names: Any = NAMES) -> Path:
    touch(root, "images/a.nii", "images/b.nii", "labels/a.nii", "labels/b.nii")
    write(root / "drawn.json", drawn)
    if names:
        write(root / "dataset.json", names)
    return root


def drawn(dataset: Dataset) -> dict[str, Any]:
    return {case.name: case.drawn for case in dataset.cases}


def test_cases_that_it_does_not_name_are_drawn_in_full(tmp_path: Path) -> None:
    assert drawn(find_cases(data(tmp_path, {"b": ["spleen"]}))) == {"a": None, "b": ("spleen",)}


def test_nothing_and_everything(tmp_path: Path) -> None:
    assert drawn(find_cases(data(tmp_path, {"a": [], "b": ["spleen", "liver", "liver"]}))) == {"a": (), "b": None}


def test_parts_by_the_file_of_the_whole_or_their_own(tmp_path: Path) -> None:
    data(tmp_path / "train", {"a": ["liver"]})
    touch(tmp_path, "val/images/c.nii", "val/labels/c.nii")
    write(tmp_path / "drawn.json", {"c": ["spleen"]})
    assert drawn(find_cases(tmp_path)) == {"a": ("liver",), "b": None, "c": ("spleen",)}


@pytest.mark.parametrize("place", ["drawn.json", "data/drawn.json"])
def test_beside_cases_json(tmp_path: Path, place: str) -> None:
    touch(tmp_path, "data/a.nii", "data/b.nii")
    entries = [{"name": name, "images": [f"{name}.nii"], "label": f"{name}.nii"} for name in "ab"]
    classes = [{"value": 1, "name": "liver", "color": [1, 2, 3]}, {"value": 2, "name": "spleen", "color": [1, 2, 3]}]
    write(tmp_path / "data" / "cases.json", {"cases": entries, "classes": classes})
    write(tmp_path / place, {"a": ["liver"]})
    assert drawn(find_cases(tmp_path)) == {"a": ("liver",), "b": None}
    write(tmp_path / "data" / "cases.json", {"cases": [{**entries[0], "drawn": ["spleen"]}], "classes": classes})
    with pytest.raises(DataError, match="say different things of a: liver was drawn, and spleen"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    "content, names, message",
    [
        ({"case a": ["liver"]}, NAMES, "there is no labelled case 'case a'. Known: a, b."),
        ({"a": "liver"}, NAMES, "'a' must be a list of the classes that were looked for"),
        ({"a": ["Liver"]}, NAMES, "'Liver' was drawn in a by drawn.json or cases.json, and the data set has no class"),
        ({"a": ["Liver"]}, NAMES, "Did you mean 'liver'?"),
        ({"a": ["liver"]}, None, "It names no classes: dataset.json or cases.json can."),
        (["a"], NAMES, "drawn.json must hold an object"),
        ("{", NAMES, "drawn.json"),
    ],
)
def test_what_is_wrong(tmp_path: Path, content: Any, names: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        find_cases(data(tmp_path, content, names=names))
    assert message in str(caught.value)


def test_a_case_without_its_label_map_is_the_only_thing_said(tmp_path: Path) -> None:
    data(tmp_path, {"a": ["liver"], "c": ["liver"]})
    touch(tmp_path, "images/c.nii")
    with pytest.raises(IncompleteError, match=r"1 images in .* have no label: c") as caught:
        find_cases(tmp_path)
    assert drawn(caught.value.dataset) == {"a": ("liver",), "b": None}


def test_the_ignored_value_is_no_class(tmp_path: Path) -> None:
    names = {"labels": {"background": 0, "liver": 1, "ignore": 2}}
    with pytest.raises(DataError, match="no class of this name"):
        find_cases(data(tmp_path, {"a": ["ignore"]}, names=names))


def test_real_gaps(shared_data: Path) -> None:
    of = drawn(find_cases(shared_data / "headneck"))
    listed = json.loads((shared_data / "headneck" / "drawn.json").read_text())
    assert len(of) == len(listed) and of["KBP_025"] is not None
    counts = [sum(names is None or name in names for names in of.values()) for name in ("Larynx", "Esophagus")]
    assert counts == [sum(name in names for names in listed.values()) for name in ("Larynx", "Esophagus")]


def test_labelled_slices_of_the_settings(tmp_path: Path) -> None:
    data(tmp_path, {})
    dataset = find_cases(tmp_path, DataConfig(labelled_slices="y"))
    assert [case.labelled_slices for case in dataset.cases] == ["y", "y"] and dataset.ignore_label == -1
    assert [case.labelled_slices for case in find_cases(tmp_path).cases] == ["", ""]
    assert find_cases(tmp_path, DataConfig(labelled_slices="auto", ignore_label=7)).ignore_label == 7
    told = [{}, {"labelled_slices": "z"}, {"labelled_slices": "none"}, {"labelled_box": [[0, 0, 0], [1, 1, 1]]}]
    entries = [
        {"name": f"c{n}", "images": ["images/a.nii"], "label": "labels/a.nii", **one} for n, one in enumerate(told)
    ]
    write(tmp_path / "cases.json", {"cases": entries})
    dataset = find_cases(tmp_path, DataConfig(labelled_slices="auto"))
    assert [(case.labelled_slices, case.is_sparse) for case in dataset.cases] == [
        ("auto", True), ("z", True), ("", False), ("", True),
    ]  # fmt: skip
