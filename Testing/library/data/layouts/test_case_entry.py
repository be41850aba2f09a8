"""One case of cases.json: what of it is labelled, and masks of its classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.data.dataset import Case, Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError

CLASSES = [{"value": 2, "name": "liver", "color": [1, 2, 3]}, {"value": 5, "name": "spleen", "color": [4, 5, 6]}]


def entry(**more: Any) -> dict[str, Any]:
    return {"name": "a", "images": ["a_image.nii"], "label": "a.nii", **more}


def masked(**more: Any) -> dict[str, Any]:
    return {"name": "a", "images": ["a_image.nii"], "masks": {"spleen": "s.nii", "liver": "l.nii"}, **more}


def find(root: Path, *entries: dict[str, Any], classes: Any = CLASSES, **more: Any) -> Dataset:
    for name in ("a_image", "a", "b_image", "b", "s", "l"):
        (root / f"{name}.nii").touch()
    document = {"cases": list(entries), **({"classes": classes} if classes else {}), **more}
    (root / "cases.json").write_text(json.dumps(document))
    return find_cases(root)


def only(dataset: Dataset) -> Case:
    (case,) = dataset.cases
    return case


def test_what_is_labelled(tmp_path: Path) -> None:
    case = only(find(tmp_path, entry(drawn=["liver"], labelled_slices="y", labelled_box=[[0, 1, 2], [3, 1, 9]])))
    assert (case.drawn, case.labelled_slices) == (("liver",), "y")
    assert case.labelled_box == ((0, 1, 2), (3, 1, 9)) and case.is_sparse


def test_without_the_new_keys_everything_is_labelled(tmp_path: Path) -> None:
    dataset = find(tmp_path, entry())
    case = only(dataset)
    assert (case.drawn, case.labelled_slices, case.labelled_box, case.is_sparse) == (None, "", None, False)
    assert (dataset.ignore_label, dataset.overlapping, case.label_files) == (None, False, (tmp_path / "a.nii",))


def test_no_class_drawn_is_not_all_drawn(tmp_path: Path) -> None:
    assert only(find(tmp_path, entry(drawn=[]))).drawn == ()


def test_all_drawn_says_nothing(tmp_path: Path) -> None:
    assert only(find(tmp_path, entry(drawn=["spleen", "liver"]))).drawn is None


def test_masks_of_classes(tmp_path: Path) -> None:
    """Nobody can read these, so that nothing is known to overlap."""
    dataset = find(tmp_path, masked(), overlapping=True, ignore_label=-1)
    case = only(dataset)
    assert case.masks == {"spleen": tmp_path / "s.nii", "liver": tmp_path / "l.nii"}
    assert case.label == tmp_path / "s.nii" and case.label_files == (tmp_path / "s.nii", tmp_path / "l.nii")
    assert (dataset.overlapping, dataset.ignore_label, dataset.label_names) == (False, -1, {2: "liver", 5: "spleen"})


def test_masks_without_a_list_of_classes_are_numbered(tmp_path: Path) -> None:
    assert find(tmp_path, masked(), classes=None).label_names == {1: "spleen", 2: "liver"}


def test_a_mask_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match=r"lists 1 files that are not there: .*gone\.nii"):
        find(tmp_path, masked(masks={"liver": "l.nii", "spleen": "gone.nii"}))


@pytest.mark.parametrize("masks", [{}, None])
def test_without_masks_it_is_not_labelled_yet(tmp_path: Path, masks: Any) -> None:
    assert only(find(tmp_path, masked(masks=masks), entry(name="b"))).name == "b"


def test_sparse_cases_get_an_ignore_label(tmp_path: Path) -> None:
    assert find(tmp_path, entry(labelled_slices="auto"), entry(name="b")).ignore_label == -1
    assert find(tmp_path, entry(labelled_box=[[0, 0, 0], [1, 1, 1]])).ignore_label == -1
    assert find(tmp_path, entry(labelled_slices="auto"), ignore_label=9).ignore_label == 9
    classes = [{"value": -1, "name": "liver", "color": [1, 2, 3]}]
    assert find(tmp_path, entry(labelled_slices="auto"), classes=classes).ignore_label == -2


@pytest.mark.parametrize(
    "case, more, message",
    [
        (entry(drawn="liver"), {}, "'drawn' of a must be a list of the classes that were looked for"),
        (entry(drawn=[1]), {}, "'drawn' of a must be a list"),
        (entry(drawn=["livr"]), {}, "'livr' was drawn in a by drawn.json or cases.json, and the data set has no class"),
        (entry(drawn=["livr"]), {}, "Did you mean 'liver'?"),
        (entry(labelled_slices="coronal"), {}, "'labelled_slices' of a is 'coronal'. Give the axis of the patient"),
        (entry(labelled_slices=1), {}, "'labelled_slices' of a is 1"),
        (entry(labelled_box=[0, 0, 0, 5, 5, 5]), {}, "'labelled_box' of a must be the first and the last voxel"),
        (entry(labelled_box=[[0, 0, 5], [5, 5, 4]]), {}, "not [[0, 0, 5], [5, 5, 4]]"),
        (entry(labelled_box=[[0, 0, -1], [5, 5, 4]]), {}, "'labelled_box' of a"),
        (entry(labelled_box=[[0, 0, 1.5], [5, 5, 4]]), {}, "'labelled_box' of a"),
        (entry(labeled_slices="y"), {}, "nobody reads. Did you mean 'labelled_slices'?"),
        (masked(masks=["l.nii"]), {}, "'masks' of a must pair each class with its file"),
        (masked(masks={"liver": 3}), {}, "'masks' of a must pair each class with its file"),
        (masked(label="a.nii"), {}, "a has a 'label' and 'masks'"),
        (masked(masks={"livre": "l.nii"}), {}, "a file for 'livre', which is none of 'classes'. Did you mean 'liver'?"),
        (entry(), {"ignore_label": "-1"}, "'ignore_label' must be the whole number"),
        (entry(), {"ignore_label": 0}, "and not 0, not 0"),
        (entry(), {"ignore_label": True}, "'ignore_label' must be the whole number"),
        (entry(), {"ignore_label": 5}, "'ignore_label' is 5, the value of 'spleen'"),
        (entry(), {"overlapping": "yes"}, "'overlapping' must be true or false, not 'yes'"),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, case: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        find(tmp_path, case, **more)
    assert message in str(caught.value)


def test_keys_of_other_programs_stay(tmp_path: Path) -> None:
    assert only(find(tmp_path, entry(scanner="A", modality="MR"))).name == "a"
