"""Wrong data: found before anything is made, all that is wrong at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Words = list[str | Path]


def plan(place: Any, *options: str | Path) -> Words:
    return ["plan", place.data, "--epochs", "1", *options]


def image_of(place: Any) -> Path:
    return place.image()


def label_of(place: Any) -> Path:
    return place.label()


def changed(path: Callable[[Any], Path], change: Callable[[np.ndarray], Any], **geometry: Any) -> Any:
    """A mistake: one image or label map written again in another way."""

    def spoil(place: Any) -> Words:
        place.change(path(place), change, **geometry)
        return plan(place)

    return spoil


def with_files(*files: tuple[str, Any], remove: tuple[str, ...] = ()) -> Any:
    """A mistake: files of the place that are written or removed."""

    def spoil(place: Any) -> Words:
        for name in remove:
            path = place.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in files:
            place.text(name, content)
        return plan(place)

    return spoil


def truncated(place: Any) -> Words:
    content = place.image().read_bytes()
    place.image().write_bytes(content[: len(content) // 2])
    return plan(place)


def empty_folder(place: Any) -> Words:
    (place.root / "empty").mkdir()
    return ["plan", place.root / "empty"]


def all_labels_empty(place: Any) -> Words:
    for index in range(4):
        place.change(place.label(index), np.zeros_like)
    return plan(place)


def not_a_number(place: Any) -> Words:
    place.change(place.image(), _with_nan)
    return plan(place)


def _with_nan(array: np.ndarray) -> np.ndarray:
    changed = array.astype(np.float32)
    changed[1, 2, 3] = np.nan
    return changed


def two_wrong_cases(place: Any) -> Words:
    not_a_number(place)
    place.change(place.label(2), lambda a: a + np.float32(0.25))
    return plan(place)


def outside(place: Any) -> Words:
    shutil.copy(place.image(), place.root / "case_9.nii.gz")
    entry = {"image": "../case_9.nii.gz", "label": "labels/case_1.nii.gz"}
    place.text("data/dataset.json", {"training": [entry], "labels": {"1": "liver", "2": "tumor"}})
    return plan(place)


def same(array: np.ndarray) -> np.ndarray:
    return array


DATA = {
    "no data folder": (lambda p: ["plan", p.root / "nowhere"], ("nowhere does not exist", "Give the folder"), 2),
    "a file as data folder": (lambda p: ["plan", p.image()], ("case_1.nii.gz is a file", "Give the folder"), 2),
    "a name that looks like markup": (lambda p: ["plan", p.root / "[red]x"], ("[red]x does not exist",), 2),
    "an empty folder": (empty_folder, ("No labelled images found in", "empty", "Expected one of")),
    "an image without label": (with_files(remove=("data/labels/case_1.nii.gz",)), ("case_1", "no label", "add")),
    "a label without image": (with_files(remove=("data/images/case_2.nii.gz",)), ("case_2", "no image", "add")),
    "sizes differ": (changed(label_of, lambda a: a[1:]), ("case_1", "size", "(14, 12, 8)", "Resample")),
    "spacings differ": (changed(label_of, same, spacing=(0.9, 1.1, 2.9)), ("case_1", "spacing", "2.9) mm")),
    "origins differ": (changed(label_of, same, origin=(-20.0, 5.0, 44.0)), ("case_1", "origin", "44", "Resample")),
    "directions differ": (
        changed(image_of, same, direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)),
        ("case_1", "direction", "0.96", "Resample"),
    ),
    "text for an image": (with_files(("data/images/case_1.nii.gz", "hello")), ("case_1.nii.gz cannot be read",)),
    "a truncated image": (truncated, ("images/case_1.nii.gz is damaged", "Copy")),
    "labels that are no whole numbers": (changed(label_of, lambda a: a * np.float32(0.3)), ("case_1", "whole")),
    "NaN in an image": (not_a_number, ("case_1.nii.gz: 1 voxels are NaN", "Replace them")),
    "nothing is labelled": (all_labels_empty, ("No label map has a labelled voxel", "Check")),
    "a label value without a name": (
        changed(label_of, lambda a: np.where(a == 2, 7, a).astype(np.uint8)),
        ("[7]", "case_1", "dataset.json", "Add them"),
    ),
    "dataset.json is not JSON": (with_files(("data/dataset.json", "{")), ("dataset.json", "line 1", "Correct it")),
    "dataset.json names labels by a list": (
        with_files(("data/dataset.json", {"labels": ["background", "liver"]})),
        ("dataset.json", "'labels'", "background"),
    ),
    "dataset.json leads out of the folder": (outside, ("'../case_9.nii.gz' lies outside", "Use paths inside")),
    "dataset.json lists a missing file": (
        with_files(("data/dataset.json", {"training": [{"image": "images/x.nrrd", "label": "labels/case_1.nii.gz"}]})),
        ("x.nrrd", "not there", "Add the files"),
    ),
    "two images of one name": (with_files(("data/images/case_1.nrrd", "")), ("case_1.nrrd", "same", "Keep one")),
    "several wrong cases at once": (
        two_wrong_cases,
        ("2 problems", "case_1.nii.gz: 1 voxels", "case_2", "whole numbers"),
    ),
    "wrong data for a real training": (
        lambda p: ["train", *two_wrong_cases(p)[1:], "-o", p.root / "job"],
        ("2 problems", "case_1.nii.gz: 1 voxels", "case_2", "whole numbers"),
        1,
        "job",
    ),
}


@pytest.mark.parametrize("mistake", DATA.values(), ids=DATA.keys())
def test_data(check: Callable[..., None], mistake: tuple[Any, ...]) -> None:
    check(*mistake)
