"""Images and label maps whose names are not equal, as data sets have them."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.data.layouts.name_pairs import is_label_name, pair_by_name


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (["img0001", "img0002"], ["label0001", "label0002"]),  # BTCV
        (["volume-0", "volume-10"], ["segmentation-0", "segmentation-10"]),  # LiTS
        (["FLARE22_Tr_0001_0000", "FLARE22_Tr_0002_0000"], ["FLARE22_Tr_0001", "FLARE22_Tr_0002"]),
        (["Case00", "Case01"], ["Case00_segmentation", "Case01_segmentation"]),  # PROMISE12
        (["image_1", "image_2"], ["mask_1", "mask_2"]),
        (["image_1", "image_2"], ["image_1_seg", "image_2_seg"]),
        (["case1_img", "case2_img"], ["case1_seg", "case2_seg"]),
        (["case_1_image", "case_10_image"], ["case_1_label", "case_10_label"]),
        (["sub-01_T1w", "sub-02_T1w"], ["sub-01_mask", "sub-02_mask"]),
        (["a", "b"], ["a_seg", "b_seg"]),
        (["case_1_ct", "case_1_late_ct"], ["case_1_mask", "case_1_late_mask"]),  # the longest fits
    ],
)
def test_pairs(images: list[str], labels: list[str]) -> None:
    image_of, label_of = pair_by_name({name: name for name in images}, {name: name for name in labels})
    assert {image_of[key]: label_of[key] for key in image_of} == dict(zip(images, labels, strict=True))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (["a_T1w", "a_T2w"], ["a_mask"]),  # two images for a label map: nobody knows which
        (["case_10"], ["case_1_mask"]),  # 1 is not 10
        (["x", "y"], ["a", "b"]),
    ],
)
def test_names_that_do_not_fit_stay(images: list[str], labels: list[str]) -> None:
    image_of, label_of = pair_by_name({name: name for name in images}, {name: name for name in labels})
    assert list(image_of) == images and list(label_of) == labels


@pytest.mark.parametrize(
    ("name", "is_label"),
    [("a_seg", True), ("segmentation-0", True), ("image_1_seg", True), ("volume_2-gt", True), ("mask3", True),
     ("volume-0", False), ("image_1", False), ("seg_1_image", False), ("segments", False), ("ct", False)],
)  # fmt: skip
def test_names_of_label_maps(name: str, is_label: bool) -> None:
    assert is_label_name(name) == is_label
