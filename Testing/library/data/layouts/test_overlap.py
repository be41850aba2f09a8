"""Whether classes of a data set overlap, whatever form their labels have, and the numbers that they get."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.case_labels import read_labels_onto
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.read import read_channels

NESTED = {"organ": (slice(2, 7), slice(3, 10), slice(4, 14)), "tumor": (slice(3, 5), slice(5, 8), slice(6, 10))}
APART = {"organ": NESTED["organ"], "tumor": (slice(8, 9), slice(0, 2), slice(0, 3))}
Boxes = Mapping[str, tuple[slice, slice, slice]]


def masks_of(boxes: Boxes, geometry: Geometry) -> dict[str, np.ndarray]:
    masks = {}
    for name, box in boxes.items():
        masks[name] = np.zeros(geometry.size_zyx, np.uint8)
        masks[name][box] = 1
    return masks


def write(image: sitk.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def bits_of(boxes: Boxes, geometry: Geometry) -> np.ndarray:
    return sum((mask.astype(np.int32) << index for index, mask in enumerate(masks_of(boxes, geometry).values())), 0)


def regions(root: Path, geometry: Geometry, boxes: Boxes, **more: Any) -> None:
    """nnU-Net: 1 the organ alone, 2 the tumor in it."""
    labels = np.zeros(geometry.size_zyx, np.uint8)
    for value, box in enumerate(boxes.values(), start=1):
        labels[box] = value
    write(geometry.place(labels), root / "labelsTr/a.nii.gz")
    write(geometry.place(labels.astype(np.float32)), root / "imagesTr/a_0000.nii.gz")
    description = {"labels": {"background": 0, "organ": [1, 2], "tumor": [2]}, **more}
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def masks(root: Path, geometry: Geometry, boxes: Boxes, **more: Any) -> None:
    files = {}
    for name, mask in masks_of(boxes, geometry).items():
        files[name] = f"a_{name}.nrrd"
        write(geometry.place(mask), root / files[name])
    write(geometry.place(np.zeros(geometry.size_zyx, np.float32)), root / "a.nrrd")
    case = {"name": "a", "images": ["a.nrrd"], "masks": files}
    (root / "cases.json").write_text(json.dumps({"cases": [case], **more}), encoding="utf-8")


def channels(root: Path, geometry: Geometry, boxes: Boxes, **more: Any) -> None:
    write(sitk.JoinSeries([geometry.place(mask) for mask in masks_of(boxes, geometry).values()]), root / "labels/a.mha")
    write(geometry.place(np.zeros(geometry.size_zyx, np.float32)), root / "images/a.mha")
    if more:
        (root / "dataset.json").write_text(json.dumps(more), encoding="utf-8")


def layers(root: Path, geometry: Geometry, boxes: Boxes, **more: Any) -> None:
    image = sitk.Compose([geometry.place(mask) for mask in masks_of(boxes, geometry).values()])
    for index, name in enumerate(boxes):
        for key, text in {"Name": name, "LabelValue": "1", "Layer": str(index)}.items():
            image.SetMetaData(f"Segment{index}_{key}", text)
    write(image, root / "labels/a.seg.nrrd")
    write(geometry.place(np.zeros(geometry.size_zyx, np.float32)), root / "images/a.nrrd")


FORMS = {"regions": regions, "masks": masks, "channels": channels, "layers": layers}


def labels_of(dataset: Dataset) -> np.ndarray:
    (case,) = dataset.cases
    return sitk.GetArrayFromImage(read_labels_onto(case, read_channels(case.images)[0], dataset.ignore_label))


class TestOverlapping:
    @pytest.mark.parametrize("form", FORMS)
    def test_all_forms_give_the_same(self, form: str, oblique_geometry: Geometry, tmp_path: Path) -> None:
        FORMS[form](tmp_path, oblique_geometry, NESTED)
        dataset = find_cases(tmp_path)
        assert dataset.overlapping
        names = ("organ", "tumor") if form != "channels" else ("label 1", "label 2")
        assert dataset.label_names == dict(enumerate(names, start=1))
        assert f"'{names[0]}' and '{names[1]}' share" in dataset.overlap
        assert (labels_of(dataset) == bits_of(NESTED, oblique_geometry)).all()

    @pytest.mark.parametrize("form", ["masks", "channels", "layers"])
    def test_how_many_voxels(self, form: str, oblique_geometry: Geometry, tmp_path: Path) -> None:
        FORMS[form](tmp_path, oblique_geometry, NESTED)
        assert "share 24 voxels in 1 of 1 cases" in find_cases(tmp_path).overlap

    def test_names_of_channels(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        channels(tmp_path, oblique_geometry, NESTED, labels={"0": "background", "1": "gland", "2": "zone"})
        assert find_cases(tmp_path).label_names == {1: "gland", 2: "zone"}

    def test_a_case_with_fewer_channels_lacks_the_last_classes(
        self, oblique_geometry: Geometry, tmp_path: Path
    ) -> None:
        channels(tmp_path, oblique_geometry, NESTED)
        organ = masks_of(NESTED, oblique_geometry)["organ"]
        write(oblique_geometry.place(organ), tmp_path / "labels/b.mha")
        write(oblique_geometry.place(organ.astype(np.float32)), tmp_path / "images/b.mha")
        dataset = find_cases(tmp_path)
        (case,) = (case for case in dataset.cases if case.name == "b")
        labels = sitk.GetArrayFromImage(read_labels_onto(case, read_channels(case.images)[0], None))
        assert (labels == organ).all()

    def test_what_nobody_labelled_is_minus_one(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        labels = {"background": 0, "organ": [1, 2], "tumor": [2], "ignore": 3}
        regions(
            tmp_path, oblique_geometry, {**NESTED, "ignore": (slice(0, 1), slice(0, 13), slice(0, 17))}, labels=labels
        )
        dataset = find_cases(tmp_path)
        assert (dataset.label_names, dataset.ignore_label) == ({1: "organ", 2: "tumor"}, -1)
        array = labels_of(dataset)
        assert (array[0] == -1).all() and set(np.unique(array[1:])) == {0, 1, 3}

    def test_regions_of_a_part_of_the_data(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        for part in ("train", "val"):
            regions(tmp_path / part, oblique_geometry, NESTED)
        dataset = find_cases(tmp_path)
        assert dataset.overlapping and [case.part for case in dataset.cases] == ["train", "val"]
        assert all(case.regions == {"organ": (1, 2), "tumor": (2,)} for case in dataset.cases)


class TestApart:
    @pytest.mark.parametrize("form", ["masks", "channels", "layers"])
    def test_classes_exclude_each_other_as_ever(self, form: str, oblique_geometry: Geometry, tmp_path: Path) -> None:
        FORMS[form](tmp_path, oblique_geometry, APART)
        dataset = find_cases(tmp_path)
        assert not dataset.overlapping
        expected = masks_of(APART, oblique_geometry)
        assert (labels_of(dataset) == expected["organ"] + 2 * expected["tumor"]).all()

    def test_masks_keep_the_values_of_the_list(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        classes = [{"value": v, "name": n, "color": [v, 0, 9]} for v, n in ((4, "organ"), (2, "tumor"))]
        masks(tmp_path, oblique_geometry, APART, classes=classes)
        dataset = find_cases(tmp_path)
        assert dataset.label_names == {2: "tumor", 4: "organ"}
        assert set(np.unique(labels_of(dataset))) == {0, 2, 4}

    def test_plain_label_maps_are_not_looked_at(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        write(oblique_geometry.place(np.ones(oblique_geometry.size_zyx, np.uint8)), tmp_path / "labels/a.nrrd")
        write(oblique_geometry.place(np.ones(oblique_geometry.size_zyx, np.uint8)), tmp_path / "images/a.nrrd")
        dataset = find_cases(tmp_path)
        assert (dataset.overlapping, dataset.overlap, dataset.cases[0].labels.is_plain) == (False, "", True)


class TestSetting:
    def test_true_takes_a_sigmoid_a_class_in_any_case(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        labels = np.zeros(oblique_geometry.size_zyx, np.int16)
        labels[2:5], labels[6] = 205, 420
        write(oblique_geometry.place(labels), tmp_path / "labels/a.nrrd")
        write(oblique_geometry.place(labels), tmp_path / "images/a.nrrd")
        dataset = find_cases(tmp_path, DataConfig(overlapping=True))
        assert (dataset.overlapping, dataset.overlap) == (True, "set by the configuration")
        assert dataset.label_names == {1: "label 205", 2: "label 420"}
        assert set(np.unique(labels_of(dataset))) == {0, 0b1, 0b10}

    @pytest.mark.parametrize("form", ["masks", "channels", "layers"])
    def test_false_says_where_they_overlap(self, form: str, oblique_geometry: Geometry, tmp_path: Path) -> None:
        FORMS[form](tmp_path, oblique_geometry, NESTED)
        dataset = find_cases(tmp_path, DataConfig(overlapping=False))
        assert not dataset.overlapping
        with pytest.raises(DataError, match="overlap in 24 voxels, and a voxel can have one class only"):
            labels_of(dataset)


class TestRefused:
    def test_more_classes_than_can_overlap(self, oblique_geometry: Geometry, tmp_path: Path) -> None:
        masks(tmp_path, oblique_geometry, {f"class {n}": NESTED["organ"] for n in range(31)})
        with pytest.raises(DataError, match="31 classes, of which some overlap"):
            find_cases(tmp_path)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ({"organ": [1, "x"]}, "must pair names with whole numbers, or with lists of them"),
            ({"organ": []}, "must pair names with whole numbers"),
            ({"organ": [0, 1]}, "the region 'organ' has the value 0"),
            ({"organ": [1, 3], "ignore": 3}, "the region 'organ' has the value 3"),
        ],
    )
    def test_regions_that_are_none(
        self, labels: dict[str, Any], message: str, oblique_geometry: Geometry, tmp_path: Path
    ) -> None:
        regions(tmp_path, oblique_geometry, NESTED, labels=labels)
        with pytest.raises(DataError, match=message):
            find_cases(tmp_path)


def test_real_nested_targets(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "headneck" / "labelsTargets", tmp_path / "labelsTr")
    shutil.copy(shared_data / "headneck" / "dataset_regions.json", tmp_path / "dataset.json")
    (tmp_path / "imagesTr").mkdir()
    for path in (tmp_path / "labelsTr").iterdir():
        name = path.name.replace(".nii.gz", "_0000.nii.gz")
        shutil.copy(shared_data / "headneck" / "imagesTr" / name, tmp_path / "imagesTr" / name)
    dataset = find_cases(tmp_path)
    assert len(dataset.cases) == 23 and dataset.overlapping
    case = dataset.cases[0]
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label)))
    bits = sitk.GetArrayFromImage(read_labels_onto(case, read_channels(case.images)[0], dataset.ignore_label))
    assert (bits == np.array([0, 0b1, 0b11, 0b111])[stored]).all()
