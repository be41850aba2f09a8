"""Data set folders: every layout is found, and what does not fit is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def describe(root: Path, **description: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def pairs(dataset: Dataset) -> dict[str, tuple[list[str], str]]:
    """Files of each case, relative to the folder."""
    root = dataset.root.resolve()
    return {
        case.name: ([p.resolve().relative_to(root).as_posix() for p in case.images],
                    case.label.resolve().relative_to(root).as_posix())
        for case in dataset.cases
    }  # fmt: skip


class TestTwoFolders:
    @pytest.mark.parametrize("labels", ["labels", "masks"])
    def test_pairs_equal_names_of_any_format(self, tmp_path: Path, labels: str) -> None:
        touch(tmp_path, "images/b.nii.gz", "images/a.1.nrrd", "images/notes.txt", "images/._b.nii.gz")
        touch(tmp_path, f"{labels}/b.seg.nrrd", f"{labels}/a.1.mha")
        dataset = find_cases(tmp_path)
        assert dataset.layout == f"images/ and {labels}/"
        assert pairs(dataset) == {
            "a.1": (["images/a.1.nrrd"], f"{labels}/a.1.mha"),
            "b": (["images/b.nii.gz"], f"{labels}/b.seg.nrrd"),
        }
        assert [case.name for case in dataset.cases] == ["a.1", "b"]

    def test_names_come_from_a_description(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii")
        describe(tmp_path, labels={"0": "background", "2": "liver"}, modality={"0": "CT"})
        dataset = find_cases(tmp_path)
        assert (dataset.label_names, dataset.channel_names) == ({2: "liver"}, ("CT",))

    def test_files_without_counterpart_are_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "images/only_image.nii", "labels/a.nii", "labels/only_label.nii")
        with pytest.raises(DataError) as caught:
            find_cases(tmp_path)
        assert "1 images in" in str(caught.value) and "have no label: only_image" in str(caught.value)
        assert "1 labels in" in str(caught.value) and "have no image: only_label" in str(caught.value)

    def test_many_files_without_counterpart_are_counted(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"images/case{i}.nii" for i in range(8)), "labels/case0.nii")
        with pytest.raises(DataError, match=r"7 images .* case1, case2, case3, case4, case5 and 2 more"):
            find_cases(tmp_path)

    def test_two_files_of_one_name_are_refused(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "images/a.nrrd", "labels/a.nii")
        with pytest.raises(DataError, match=r"a\.nii and a\.nrrd have the same case name"):
            find_cases(tmp_path)

    def test_masks_may_be_named_otherwise(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/image_0001.png", "images/img_0002.png", "masks/mask_0001.png", "masks/mask_0002.tif")
        dataset = find_cases(tmp_path)
        assert pairs(dataset) == {
            "image_0001": (["images/image_0001.png"], "masks/mask_0001.png"),
            "img_0002": (["images/img_0002.png"], "masks/mask_0002.tif"),
        }

    @pytest.mark.parametrize(("images", "labels"), [("img", "label"), ("Images", "GT"), ("volumes", "segmentations")])
    def test_folders_as_public_sets_name_them(self, tmp_path: Path, images: str, labels: str) -> None:
        touch(tmp_path, f"{images}/img0001.nii.gz", f"{images}/img0002.nii.gz")
        touch(tmp_path, f"{labels}/label0001.nii.gz", f"{labels}/label0002.nii.gz")
        dataset = find_cases(tmp_path)
        assert dataset.layout == f"{images}/ and {labels}/"
        assert pairs(dataset)["img0002"] == ([f"{images}/img0002.nii.gz"], f"{labels}/label0002.nii.gz")

    def test_usual_folders_come_first(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii", "img/b.nii", "gt/b.nii")
        assert list(pairs(find_cases(tmp_path))) == ["a"]

    def test_equal_names_come_first(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/seg_1.png", "images/1.png", "labels/seg_1.png", "labels/1.png")
        assert pairs(find_cases(tmp_path))["seg_1"] == (["images/seg_1.png"], "labels/seg_1.png")

    def test_a_number_without_its_mask_is_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/image_1.png", "images/image_2.png", "masks/mask_1.png")
        with pytest.raises(DataError, match="have no label: 2"):
            find_cases(tmp_path)

    def test_numbers_that_are_not_unique_stay_as_they_are(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/image_1.png", "images/img_1.png", "masks/mask_1.png")
        with pytest.raises(DataError, match=r"2 images in .* have no label: image_1, img_1"):
            find_cases(tmp_path)


class TestOneFolder:
    def test_images_beside_masks(self, tmp_path: Path) -> None:
        touch(tmp_path, "image_0002.png", "mask_0002.png", "image_0001.png", "mask_0001.png", "overview.png")
        describe(tmp_path, labels={"1": "cell"})
        dataset = find_cases(tmp_path)
        assert dataset.layout == "image_* and mask_* files"
        assert pairs(dataset) == {f"image_000{n}": ([f"image_000{n}.png"], f"mask_000{n}.png") for n in (1, 2)}
        assert dataset.label_names == {1: "cell"}

    @pytest.mark.parametrize(
        ("image", "label"),
        [
            ("volume-{}.nii", "segmentation-{}.nii"),  # LiTS
            ("case_{}.nii.gz", "case_{}_seg.nii.gz"),
            ("image_{}.nii.gz", "image_{}_seg.nii.gz"),
            ("Case{}.mhd", "Case{}_segmentation.mhd"),  # PROMISE12
            ("case_{}.nrrd", "case_{}.seg.nrrd"),  # 3D Slicer
        ],
    )
    def test_names_of_public_sets(self, tmp_path: Path, image: str, label: str) -> None:
        touch(tmp_path, *(name.format(number) for number in (0, 10, 1) for name in (image, label)))
        found = pairs(find_cases(tmp_path))
        assert list(found.values()) == [([image.format(n)], label.format(n)) for n in (0, 1, 10)]

    def test_a_mask_without_its_image_is_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "image_1.png", "mask_1.png", "mask_2.png")
        with pytest.raises(DataError, match="have no image: 2"):
            find_cases(tmp_path)

    def test_images_alone_are_no_data_set(self, tmp_path: Path) -> None:
        touch(tmp_path, "image_1.png", "image_2.png")
        with pytest.raises(DataError, match="No labelled images found"):
            find_cases(tmp_path)


class TestNnunet:
    def test_one_file_a_channel(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"imagesTr/{c}_000{n}.nii.gz" for c in ("p_2", "p_1") for n in (1, 0)))
        touch(tmp_path, "labelsTr/p_1.nii.gz", "labelsTr/p_2.nii.gz")
        describe(tmp_path, channel_names={"0": "T1", "1": "T2"}, labels={"background": 0, "liver": 1, "tumor": 2})
        dataset = find_cases(tmp_path)
        assert dataset.layout == "nnU-Net"
        assert pairs(dataset) == {
            case: ([f"imagesTr/{case}_000{n}.nii.gz" for n in (0, 1)], f"labelsTr/{case}.nii.gz")
            for case in ("p_1", "p_2")
        }
        assert dataset.label_names == {1: "liver", 2: "tumor"}
        assert dataset.channel_names == ("T1", "T2")

    @pytest.mark.parametrize("missing", ["b_0000.nrrd", "b_0001.nrrd"])
    def test_a_missing_channel_is_named(self, tmp_path: Path, missing: str) -> None:
        names = {"a_0000.nrrd", "a_0001.nrrd", "b_0000.nrrd", "b_0001.nrrd"} - {missing}
        touch(tmp_path, *(f"imagesTr/{name}" for name in names), "labelsTr/a.nrrd", "labelsTr/b.nrrd")
        with pytest.raises(DataError, match=r"Of 2 channels some are missing in .*: b\."):
            find_cases(tmp_path)

    def test_a_gap_between_channels_is_named(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"imagesTr/{name}.nii" for name in ("a_0000", "a_0002", "b_0000", "b_0001")))
        touch(tmp_path, "labelsTr/a.nii", "labelsTr/b.nii")
        with pytest.raises(DataError, match=r"Of 2 channels some are missing in .*: a\."):
            find_cases(tmp_path)

    def test_a_missing_label_is_named(self, tmp_path: Path) -> None:
        touch(tmp_path, "imagesTr/a_0000.nii", "imagesTr/b_0000.nii", "labelsTr/a.nii")
        with pytest.raises(DataError, match="have no label: b"):
            find_cases(tmp_path)

    def test_one_file_without_channel_number_is_named(self, tmp_path: Path) -> None:
        """And not the good ones, for which it is the odd one."""
        touch(tmp_path, "imagesTr/a_0000.nii", "imagesTr/b_0000.nii", "imagesTr/c.nii")
        touch(tmp_path, "labelsTr/a.nii", "labelsTr/b.nii", "labelsTr/c.nii")
        with pytest.raises(IncompleteError, match=r"1 of 3 images in .* without channel number: c\.") as caught:
            find_cases(tmp_path)
        assert [(finding.case, finding.kind) for finding in caught.value.findings] == [
            ("c", "image without channel number")
        ]
        assert [case.name for case in caught.value.dataset.cases] == ["a", "b"]

    def test_regions_are_refused_where_classes_must_not_overlap(self, tmp_path: Path) -> None:
        touch(tmp_path, "imagesTr/a_0000.nii", "labelsTr/a.nii")
        describe(tmp_path, labels={"whole tumor": [1, 2], "core": 2})
        with pytest.raises(DataError, match=r"regions of several values \('whole tumor' \[1, 2\]\)") as caught:
            find_cases(tmp_path, DataConfig(overlapping=False))
        assert str(tmp_path / "dataset.json") in str(caught.value)
        assert "data.overlapping is false" in str(caught.value)

    def test_what_to_write_in_place_of_regions(self, tmp_path: Path) -> None:
        """Each value under the smallest region that has it."""
        touch(tmp_path, "imagesTr/a_0000.nii", "labelsTr/a.nii")
        describe(tmp_path, labels={"background": 0, "whole tumor": [1, 2, 3], "core": [2, 3], "enhancing": 3})
        with pytest.raises(DataError) as caught:
            find_cases(tmp_path, DataConfig(overlapping=False))
        assert '{"background": 0, "whole tumor": 1, "core": 2, "enhancing": 3}' in str(caught.value)

    def test_names_that_end_in_four_digits_but_are_equal_are_pairs(self, tmp_path: Path) -> None:
        touch(tmp_path, "imagesTr/case_0001.nii", "imagesTr/case_0002.nii")
        touch(tmp_path, "labelsTr/case_0001.nii", "labelsTr/case_0002.nii")
        dataset = find_cases(tmp_path)
        assert list(pairs(dataset)) == ["case_0001", "case_0002"]
        assert all(len(case.images) == 1 for case in dataset.cases)


class TestDecathlon:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        touch(tmp_path, "imagesTr/la_03.nii.gz", "imagesTr/la_01.nii.gz", "labelsTr/la_03.nii.gz")
        touch(tmp_path, "labelsTr/la_01.nii.gz", "imagesTs/la_02.nii.gz", "imagesTr/extra.nii.gz")
        return tmp_path

    def entries(self, *numbers: str) -> list[dict[str, str]]:
        return [
            {"image": f"./imagesTr/la_{number}.nii.gz", "label": f"./labelsTr/la_{number}.nii.gz"} for number in numbers
        ]

    def test_lists_the_training_pairs(self, root: Path) -> None:
        describe(
            root,
            training=self.entries("03", "01"),
            labels={"0": "background", "1": "left atrium"},
            modality={"0": "MR"},
        )
        dataset = find_cases(root)
        assert dataset.layout == "Decathlon"
        assert pairs(dataset) == {
            "la_01": (["imagesTr/la_01.nii.gz"], "labelsTr/la_01.nii.gz"),
            "la_03": (["imagesTr/la_03.nii.gz"], "labelsTr/la_03.nii.gz"),
        }
        assert (dataset.label_names, dataset.channel_names) == ({1: "left atrium"}, ("MR",))

    def test_missing_files_are_named(self, root: Path) -> None:
        describe(root, training=self.entries("01", "99"))
        with pytest.raises(DataError, match=r"lists 2 files that are not there: .*la_99"):
            find_cases(root)

    @pytest.mark.parametrize("entry", ["../other/a.nii", "imagesTr/../../a.nii"])
    def test_a_path_that_leads_outside_is_refused(self, root: Path, entry: str) -> None:
        touch(root.parent, "other/a.nii", "a.nii")
        describe(root, training=[{"image": entry, "label": "labelsTr/la_01.nii.gz"}])
        with pytest.raises(DataError, match="lies outside the folder") as caught:
            find_cases(root)
        assert repr(entry) in str(caught.value)

    def test_an_absolute_path_outside_is_refused(self, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        other = tmp_path_factory.mktemp("other") / "a.nii"
        other.touch()
        describe(root, training=[{"image": str(other), "label": "labelsTr/la_01.nii.gz"}])
        with pytest.raises(DataError, match="lies outside the folder"):
            find_cases(root)

    def test_an_entry_that_is_no_pair(self, root: Path) -> None:
        describe(root, training=["./imagesTr/la_01.nii.gz"])
        with pytest.raises(DataError, match=r"needs 'image' and 'label', not '\./imagesTr/la_01"):
            find_cases(root)

    def test_two_images_of_one_name_are_refused(self, root: Path) -> None:
        describe(root, training=self.entries("01", "03", "01"))
        with pytest.raises(DataError, match="several images of one name: la_01"):
            find_cases(root)

    def test_no_entries(self, root: Path) -> None:
        describe(root, training=[])
        with pytest.raises(DataError, match="lists no training cases"):
            find_cases(root)


class TestDescription:
    @pytest.mark.parametrize(
        "labels, message",
        [
            (["liver"], "'labels' must pair numbers with names"),
            ({"liver": "tumor"}, "pairs no number with a name"),
            ({"1": {"name": "liver"}}, "pairs no number with a name"),
            ({"1": None}, "pairs no number with a name"),
            ({"liver": True}, "pairs no number with a name"),
            ({"liver": [{"a": 1}]}, "must pair names with whole numbers"),
        ],
    )
    def test_labels_without_numbers(self, tmp_path: Path, labels: Any, message: str) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii")
        describe(tmp_path, labels=labels)
        with pytest.raises(DataError, match=message):
            find_cases(tmp_path)

    @pytest.mark.parametrize("channels", [["CT"], "CT", {"0": {"name": "CT"}}, {"0": None}])
    def test_channels_without_names(self, tmp_path: Path, channels: Any) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii")
        describe(tmp_path, channel_names=channels)
        with pytest.raises(DataError, match="'channel_names' must pair numbers with names"):
            find_cases(tmp_path)

    def test_that_is_no_object(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii")
        (tmp_path / "dataset.json").write_text("[1]", encoding="utf-8")
        with pytest.raises(DataError, match=r"dataset\.json must hold an object"):
            find_cases(tmp_path)

    def test_that_is_no_json(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii")
        (tmp_path / "dataset.json").write_text("{", encoding="utf-8")
        with pytest.raises(DataError, match=r"dataset\.json is not valid JSON"):
            find_cases(tmp_path)


class TestNothing:
    def test_found(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/readme.txt", "labels/readme.txt")
        with pytest.raises(DataError, match=r"No labelled images found in .* Expected one of: images/ and labels/"):
            find_cases(tmp_path)

    def test_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="does not exist"):
            find_cases(tmp_path / "missing")

    def test_but_a_file(self, tmp_path: Path) -> None:
        touch(tmp_path, "file")
        with pytest.raises(DataError, match="is a file, not a folder"):
            find_cases(tmp_path / "file")


class TestParts:
    def test_each_with_a_layout_of_its_own(self, tmp_path: Path) -> None:
        touch(tmp_path, "train/images/a.nii", "train/labels/a.nii", "val/b/image.nii", "val/b/mask.nii")
        touch(tmp_path, "test/image_c.nii", "test/mask_c.nii")
        describe(tmp_path, labels={"1": "liver"})
        dataset = find_cases(tmp_path)
        assert dataset.layout == "train/ and val/ and test/, images/ and labels/"
        assert {case.name: case.part for case in dataset.cases} == {"a": "train", "b": "val", "image_c": "test"}
        assert dataset.label_names == {1: "liver"}

    def test_equal_names_are_told_apart(self, tmp_path: Path) -> None:
        for part in ("training", "validation"):
            touch(tmp_path, f"{part}/images/1.nii", f"{part}/labels/1.nii")
        assert [(case.name, case.part) for case in find_cases(tmp_path).cases] == [
            ("train_1", "train"),
            ("val_1", "val"),
        ]

    def test_test_images_may_have_no_labels(self, tmp_path: Path) -> None:
        touch(tmp_path, "train/images/a.nii", "train/labels/a.nii", "test/images/b.nii")
        assert [(case.name, case.part) for case in find_cases(tmp_path).cases] == [("a", "train")]

    def test_validation_images_may_not(self, tmp_path: Path) -> None:
        touch(tmp_path, "train/images/a.nii", "train/labels/a.nii", "val/images/b.nii")
        with pytest.raises(DataError, match="val holds no labelled images"):
            find_cases(tmp_path)

    def test_names_that_differ(self, tmp_path: Path) -> None:
        for part, name in (("train", "liver"), ("test", "spleen")):
            touch(tmp_path, f"{part}/images/{part}.nii", f"{part}/labels/{part}.nii")
            describe(tmp_path / part, labels={"1": name})
        with pytest.raises(DataError, match="name label values differently: 1 is 'liver' and 'spleen'"):
            find_cases(tmp_path)


class TestArrays:
    def test_files_with_image_and_label(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            np.savez(tmp_path / f"{name}.npz", image=np.zeros((2, 3, 4)), label=np.zeros((2, 3, 4), np.uint8))
        dataset = find_cases(tmp_path)
        assert dataset.layout == "NPZ files with image and label"
        assert pairs(dataset) == {"a": (["a.npz"], "a.npz"), "b": (["b.npz"], "b.npz")}
        np.savez(tmp_path / "c.npz", image=np.zeros((2, 3, 4)))
        with pytest.raises(DataError, match=r"c\.npz in .* lack the array 'image' or 'label'"):
            find_cases(tmp_path)


class TestPairsByWords:
    def test_numbers_behind_words(self, tmp_path: Path) -> None:
        """As BTCV is published."""
        touch(tmp_path, "imagesTr/img0001.nii", "imagesTr/img0002.nii")
        touch(tmp_path, "labelsTr/label0001.nii", "labelsTr/label0002.nii")
        assert {case.name: case.label.name for case in find_cases(tmp_path).cases} == {
            "img0001": "label0001.nii", "img0002": "label0002.nii",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("image", "label"), [("_img", "_seg"), ("_image", "_label"), ("_T1w", "_mask"), ("", "_seg")]
    )
    def test_words_behind_names(self, tmp_path: Path, image: str, label: str) -> None:
        for where in ("one", "two/images", "two/labels"):
            (tmp_path / where).mkdir(parents=True)
        for name in ("a1", "a2"):
            touch(tmp_path, f"one/{name}{image}.nii", f"one/{name}{label}.nii")
            touch(tmp_path, f"two/images/{name}{image}.nii", f"two/labels/{name}{label}.nii")
        for root in (tmp_path / "one", tmp_path / "two"):
            assert {case.images[0].name: case.label.name for case in find_cases(root).cases} == {
                f"a1{image}.nii": f"a1{label}.nii", f"a2{image}.nii": f"a2{label}.nii",
            }  # fmt: skip


class TestNames:
    def test_that_are_no_text_are_refused(self, tmp_path: Path) -> None:
        touch(tmp_path, "images/a.nii", "labels/a.nii")
        try:
            (tmp_path / "images" / os.fsdecode(b"M\xfcller.nii")).touch()
        except OSError:
            pytest.skip("this disk takes UTF-8 names only")
        with pytest.raises(DataError, match="not UTF-8"):
            find_cases(tmp_path)

    def test_with_a_nul(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.nii")
        describe(tmp_path, training=[{"image": "a.nii", "label": "a\0.nii"}])
        with pytest.raises(DataError, match="NUL"):
            find_cases(tmp_path)
        (tmp_path / "cases.json").write_text('{"cases": [{"name": "a", "images": ["a.nii"], "label": "a\\u0000"}]}')
        with pytest.raises(DataError, match="NUL"):
            find_cases(tmp_path)


class TestIgnored:
    """nnU-Net's ``"ignore"``: voxels that nobody labelled."""

    def dataset(self, tmp_path: Path, data: DataConfig) -> Dataset:
        for name in ("imagesTr/a_0000.nii", "labelsTr/a.nii"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).touch()
        (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "organ": 1, "ignore": 3}}')
        return find_cases(tmp_path, data)

    def test_is_no_class(self, tmp_path: Path) -> None:
        result = self.dataset(tmp_path, DataConfig())
        assert (result.ignore_label, result.label_names) == (3, {1: "organ"})

    def test_a_setting_wins(self, tmp_path: Path) -> None:
        result = self.dataset(tmp_path, DataConfig(ignore_label=2))
        assert (result.ignore_label, result.label_names) == (2, {1: "organ", 3: "ignore"})
