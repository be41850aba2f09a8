"""cases.json, as 3D Slicer writes it into a job folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError

CLASS = {"value": 3, "name": "liver", "color": [221, 130, 101], "terminology": "about livers"}


def case(name: str = "b", **more: Any) -> dict[str, Any]:
    return {"name": name, "images": [f"{name}_0000.nii", f"{name}_0001.nii"], "label": f"{name}.nii", **more}


def find(root: Path, *cases: Any, folder: str = ".", **more: Any) -> Dataset:
    place = root / folder
    place.mkdir(exist_ok=True)
    for name in ("a", "b"):
        for suffix in ("", "_0000", "_0001"):
            (place / f"{name}{suffix}.nii").touch()
    (place / "cases.json").write_text(json.dumps({"schema_version": 1, "cases": list(cases), **more}))
    return find_cases(root)


@pytest.mark.parametrize("folder", [".", "data"])
def test_everything(tmp_path: Path, folder: str) -> None:
    cases = [case(part="val", patient="P1"), case("a")]
    dataset = find(tmp_path, *cases, folder=folder, channels=["T1", "T2"], classes=[CLASS])
    place = tmp_path / folder
    assert (dataset.label_names, dataset.channel_names) == ({3: "liver"}, ("T1", "T2"))
    assert dataset.looks == {
        "liver": LabelClass(value=3, name="liver", color=(221, 130, 101), terminology="about livers")
    }
    first, second = dataset.cases
    assert (first.name, first.part, first.patient) == ("a", None, "")
    assert second.images == (place / "b_0000.nii", place / "b_0001.nii") and second.label == place / "b.nii"
    assert (second.part, second.patient) == ("val", "P1")


def test_absolute_paths(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "x.nii"
    other.touch()
    (listed,) = find(tmp_path, case(images=[str(other)])).cases
    assert listed.images == (other,)


@pytest.mark.parametrize("label", [None, ""])
def test_cases_that_are_not_labelled_yet_are_left_out(tmp_path: Path, label: Any) -> None:
    assert [listed.name for listed in find(tmp_path, case("a", label=label), case("b")).cases] == ["b"]
    with pytest.raises(DataError, match="lists no case with a label map"):
        find(tmp_path, case("a", label=label))


@pytest.mark.parametrize(
    "cases, more, message",
    [
        (["a.nii"], {}, "each case needs a 'name' and 'images', not 'a.nii'"),
        ([case(images="b.nii")], {}, "'images' of b must be a list with a file for each channel, not 'b.nii'"),
        ([case(images=[])], {}, "'images' of b must be a list"),
        ([case(label=3)], {}, "'label' of b must be a file, not 3"),
        ([case(part="training")], {}, "'part' of b is 'training'. Give train, val or test"),
        ([case("../b")], {}, "'../b' cannot be the name of a file"),
        ([case("..")], {}, "'..' cannot be the name of a file"),
        ([case(), case()], {}, "lists several cases of one name: b"),
        ([case("c")], {}, "lists 3 files that are not there"),
        ([case()], {"classes": [{"name": "liver"}]}, "needs a 'value' (a whole number but 0) and a 'name'"),
        ([case()], {"classes": [{**CLASS, "color": "red"}]}, "'color' of liver must be three whole numbers"),
        ([case()], {"classes": [CLASS, {**CLASS, "value": 4}]}, "two of 'classes' have one value or one name"),
        ([case()], {"channels": "T1"}, "'channels' must be a list, not 'T1'"),
        ([case()], {"cases": 3}, "has no list 'cases'"),
    ],
)
def test_wrong_lists(tmp_path: Path, cases: list[Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        find(tmp_path, *cases, **more)
    assert message in str(caught.value) and "cases.json" in str(caught.value)
