"""A folder for each case: which file is the image, which the label map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(dataset: Dataset) -> dict[str, tuple[list[str], str]]:
    """Files of each case, relative to its folder."""
    return {
        case.name: ([path.relative_to(dataset.root / case.name).as_posix() for path in case.images],
                    case.label.relative_to(dataset.root / case.name).as_posix())
        for case in dataset.cases
    }  # fmt: skip


@pytest.mark.parametrize(
    "files, images, label",
    [
        (["image.nii.gz", "mask.nii.gz"], ["image.nii.gz"], "mask.nii.gz"),
        (["Image.mha", "Segmentation.nrrd", "other.nrrd"], ["Image.mha"], "Segmentation.nrrd"),
        (["image.png", "label.png", "notes.txt"], ["image.png"], "label.png"),
        (["CT.nrrd", "CT.seg.nrrd"], ["CT.nrrd"], "CT.seg.nrrd"),
        (["p1_ct.nii", "p1_seg.nii"], ["p1_ct.nii"], "p1_seg.nii"),
        (["image_10.nii", "image_2.nii", "image_1.nii", "mask.nii"], ["image_1.nii", "image_2.nii", "image_10.nii"],
         "mask.nii"),
        (["image_t2.nii", "image_t1.nii", "mask.nii"], ["image_t1.nii", "image_t2.nii"], "mask.nii"),
        (["p1-t2.nii", "p1-flair.nii", "p1-seg.nii"], ["p1-flair.nii", "p1-t2.nii"], "p1-seg.nii"),
        (["image/1.dcm", "image/2.dcm", "mask.nii"], ["image"], "mask.nii"),
        (["1.dcm", "2.dcm", "seg.nrrd"], ["."], "seg.nrrd"),
        (["image/1.dcm", "mask/1.dcm"], ["image"], "mask"),
        (["image.npy", "labels.npz"], ["image.npy"], "labels.npz"),
    ],
)  # fmt: skip
def test_files_of_a_case(tmp_path: Path, files: list[str], images: list[str], label: str) -> None:
    touch(tmp_path, *(f"p1/{name}" for name in files), "readme/readme.txt", ".git/config")
    dataset = find_cases(tmp_path)
    assert pairs(dataset) == {"p1": (images, label)}


def test_channels_are_told(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{case}/{case}_{name}.nii" for case in ("b", "a") for name in ("t2", "t1", "seg")))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"1": "tumor"}}))
    dataset = find_cases(tmp_path)
    assert list(pairs(dataset)) == ["a", "b"]
    assert (dataset.layout, dataset.channel_names) == ("a folder for each case (channels t1, t2)", ("t1", "t2"))
    assert dataset.label_names == {1: "tumor"}


@pytest.mark.parametrize(
    "settings, images, label",
    [
        ({"image_names": ["t2", "t1"], "label_name": "gold"}, ["p_t2.nii", "p_t1.nii"], "p_gold.nii"),
        ({"image_names": ["T1.nii"], "label_name": "p_gold.nii"}, ["p_t1.nii"], "p_gold.nii"),
        ({"label_name": "gold"}, ["p_t1.nii", "p_t2.nii"], "p_gold.nii"),
        ({"image_names": ["mask", "t1"], "label_name": "gold"}, ["p_mask.nii", "p_t1.nii"], "p_gold.nii"),
        ({"image_names": ["t1"]}, ["p_t1.nii"], "p_mask.nii"),
    ],
)
def test_names_of_the_settings(tmp_path: Path, settings: dict[str, Any], images: list[str], label: str) -> None:
    touch(tmp_path, *(f"p/p_{name}.nii" for name in ("t1", "t2", "gold", "mask")))
    assert pairs(find_cases(tmp_path, DataConfig(**settings))) == {"p": (images, label)}


class TestWrong:
    def error(self, root: Path, **settings: Any) -> str:
        with pytest.raises(DataError) as caught:
            find_cases(root, DataConfig(**settings))
        assert str(root) in str(caught.value)
        return str(caught.value)

    def test_missing_files(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/image.nii", "a/mask.nii", "b/image.nii", "c/mask.nii")
        message = self.error(tmp_path)
        assert "1 case folders have no image (image.*): c" in message
        assert "1 case folders have no label map (mask.*, label.*, seg.* or segmentation.*): b" in message
        assert "data.image_names, data.label_name" in message

    def test_several_label_maps(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/image.nii", "a/mask.nii", "a/seg.nii")
        assert "holds several label maps: mask.nii, seg.nii. Keep one, or name" in self.error(tmp_path)

    def test_different_channels(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/t1.nii", "a/t2.nii", "a/seg.nii", "b/t1.nii", "b/flair.nii", "b/seg.nii")
        assert "the cases have different images: t1, t2 in a, flair, t1 in b" in self.error(tmp_path)

    def test_a_channel_that_is_asked_for_and_missing(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/t1.nii", "a/t2.nii", "a/seg.nii", "b/t1.nii", "b/seg.nii")
        assert "the cases have different images: t1, t2 in a, t1 in b" in self.error(tmp_path, image_names=["t1", "t2"])

    def test_no_label_maps_anywhere(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/image.nii", "b/image.nii")
        assert "No labelled images found" in self.error(tmp_path)
