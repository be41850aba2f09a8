"""What of references is labelled, by a setting, by cases.json beside them, and of single cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.api import evaluate
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ConfigError, DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map

GEOMETRY = Geometry(size=(13, 11, 12), spacing=(0.7, 1.1, 3.0), origin=(12.0, -30.0, 5.0))
JAW = LabelClass(value=1, name="jaw", color=(9, 90, 200))
SLICES = [2, 5, 8]


def predicted() -> np.ndarray:
    values = np.zeros(GEOMETRY.size_zyx, np.uint8)
    values[1:10, 3:9, 3:10] = 1
    return values


def reference() -> np.ndarray:
    """Three axial slices of the same, a voxel narrower."""
    values = np.zeros(GEOMETRY.size_zyx, np.uint8)
    values[SLICES, 3:9, 3:9] = 1
    return values


IN_SLICES = 2 * 36 / (36 + 42)  # Dice
IN_ALL = 2 * 108 / (108 + 378)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        for side, values in (("pred", predicted()), ("data/labels", reference())):
            path = tmp_path / side / f"{name}.seg.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_map(GEOMETRY.place(values), path, [JAW])
    return tmp_path


def dice(folder: Path, **settings: Any) -> dict[str, float]:
    document = evaluate(folder / "pred", folder / "data", folder / "out", **settings)
    return {name: case["jaw"]["dice"] for name, case in document["cases"].items()}


def cases_json(path: Path, **two: Any) -> None:
    entries: list[dict[str, Any]] = [
        {"name": name, "images": ["i.nii"], "label": f"labels/{name}.seg.nrrd"} for name in ("one", "two")
    ]
    entries[1] |= two
    path.write_text(json.dumps({"cases": entries}))


def test_without_a_word_all_is_labelled(folder: Path) -> None:
    assert dice(folder) == pytest.approx({"one": IN_ALL, "two": IN_ALL})


@pytest.mark.parametrize("axis", ["auto", "z"])
def test_a_setting_for_all(folder: Path, axis: str) -> None:
    assert dice(folder, labelled_slices=axis) == pytest.approx({"one": IN_SLICES, "two": IN_SLICES})


def test_the_list_of_cases_goes_before(folder: Path) -> None:
    cases_json(folder / "data" / "cases.json", labelled_slices="z")
    assert dice(folder) == pytest.approx({"one": IN_ALL, "two": IN_SLICES})
    cases_json(folder / "data" / "cases.json", labelled_box=[[0, 0, 2], [12, 10, 2]])
    assert dice(folder, labelled_slices="z") == pytest.approx({"one": IN_SLICES, "two": IN_SLICES})
    cases_json(folder / "data" / "cases.json", labelled_slices="none")
    assert dice(folder, labelled_slices="z") == pytest.approx({"one": IN_SLICES, "two": IN_ALL})
    assert dice(folder, ignore_label=7)["one"] == pytest.approx(IN_ALL)


def test_single_cases_by_their_names(folder: Path) -> None:
    by_name = {"labelled": {"one": "auto"}, "labelled_boxes": {"two": [[0, 0, 4], [12, 10, 5]]}}
    assert dice(folder, **by_name) == pytest.approx({"one": IN_SLICES, "two": 2 * 36 / (36 + 84)})


def test_the_pages_show_the_same(folder: Path) -> None:
    document = evaluate(folder / "pred", folder / "data", folder / "out", labelled_slices="z")
    form = document["label_forms"]["one"][1]
    assert (form["labelled_slices"], form["labelled_box"]) == ("z", None)
    assert document["cases"]["one"]["jaw"]["hd95_mm"] is None
    page = (folder / "out" / "report.html").read_text()
    assert "Voxels that nobody labelled do not count" in page


def test_unknown_voxels_by_the_list_of_cases(folder: Path) -> None:
    values = reference().astype(np.int32)
    values[[index for index in range(12) if index not in SLICES]] = -1
    for name in ("one", "two"):
        write_label_map(GEOMETRY.place(values), folder / "data" / "labels" / f"{name}.nrrd", [JAW])
        (folder / "data" / "labels" / f"{name}.seg.nrrd").unlink()
    document = {"cases": [], "ignore_label": -1, "classes": [{"value": 1, "name": "jaw", "color": [1, 2, 3]}]}
    (folder / "data" / "cases.json").write_text(json.dumps(document))
    assert dice(folder) == pytest.approx({"one": IN_SLICES, "two": IN_SLICES})


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"labelled_slices": "coronal"}, ConfigError, "labelled_slices = 'coronal'"),
        ({"labelled_boxes": {"one": [[0, 0, 4]]}}, DataError, "labelled_boxes: that of one must be the first and the"),
        ({"labelled_boxes": {"one": [[0, 0, 4], [13, 10, 5]]}}, DataError, "reaches beyond its label map"),
    ],
)
def test_what_is_wrong(folder: Path, settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        dice(folder, **settings)
    assert message in str(caught.value)
