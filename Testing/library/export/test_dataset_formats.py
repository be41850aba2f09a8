"""Data sets for other programs: read again they are the same, and nothing half is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.case_labels import read_labels
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.events import Warned
from MedSegTrainerLib.export.dataset_formats import export_data
from MedSegTrainerLib.imaging.geometry import Geometry

WriteCases = Callable[..., Path]
Blocks = Callable[..., np.ndarray]


def nnunet(data: Path, **settings: Any) -> tuple[Path, list[str], list[str]]:
    """The folder, what was said of it, and the warnings."""
    events: list[Any] = []
    folder = data.parent / "Dataset007_Test"
    notes = export_data(data, folder, "nnunet", DataConfig(**settings), events.append)
    return folder, notes, [event.message for event in events if isinstance(event, Warned)]


def described(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "dataset.json").read_text())


def splits(folder: Path) -> list[dict[str, list[str]]]:
    return json.loads((folder / "splits_final.json").read_text())


def labels_of(root: Path, name: str) -> np.ndarray:
    dataset = find_cases(root)
    case = next(case for case in dataset.cases if case.name == name)
    return sitk.GetArrayFromImage(read_labels(case, dataset.ignore_label))


class TestNnunet:
    def test_images_and_labels_are_those_of_the_data(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(3, 7) for n in range(6)}, labels={"kidney": 3, "cyst": 7})
        folder, notes, _ = nnunet(data)
        assert described(folder)["labels"] == {"background": 0, "kidney": 1, "cyst": 2}
        assert (described(folder)["numTraining"], described(folder)["file_ending"]) == (6, ".nii.gz")
        assert notes[0] == f"{folder} has 6 cases, 2 classes; 5 folds."
        assert notes[1] == "nnU-Net counts classes from 1 on without a gap. New numbers: kidney 3 -> 1, cyst 7 -> 2."
        np.testing.assert_array_equal(labels_of(folder, "c2"), np.searchsorted([0, 3, 7], blocks(3, 7)))
        for place, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
            written = sitk.ReadImage(str(folder / place / f"c2{ending}"))
            original = sitk.ReadImage(str(data / "images" / "c2.nrrd"))
            assert Geometry.of(written).disagreements(Geometry.of(original)) == []
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "imagesTr" / "c2_0000.nii.gz"))),
            sitk.GetArrayFromImage(sitk.ReadImage(str(data / "images" / "c2.nrrd"))),
        )

    def test_files_that_fit_are_copied_with_their_headers(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1) for n in range(5)}, ending=".nii.gz", channel_names={"0": "ct"})
        folder, _, _ = nnunet(data)
        copy, original = folder / "imagesTr" / "c1_0000.nii.gz", data / "images" / "c1.nii.gz"
        assert copy.read_bytes() == original.read_bytes()
        assert described(folder)["channel_names"] == {"0": "CT"}

    def test_channels_of_one_file(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1) for n in range(5)}, channel_names={"0": "T1", "1": "T2"})
        for path in (data / "images").iterdir():
            image = sitk.ReadImage(str(path))
            sitk.WriteImage(sitk.Compose(image, image * 2), str(path))
        folder, _, _ = nnunet(data)
        assert described(folder)["channel_names"] == {"0": "T1", "1": "T2"}
        first, second = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "imagesTr" / f"c0_000{n}.nii.gz"))) for n in (0, 1)
        )
        np.testing.assert_array_equal(second, 2 * first)

    def test_what_nobody_labelled_is_the_highest_number(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1, 9, 2) for n in range(5)}, labels={"a": 1, "b": 2, "ignore": 9})
        folder, _, _ = nnunet(data)
        assert described(folder)["labels"] == {"background": 0, "a": 1, "b": 2, "ignore": 3}
        assert labels_of(folder, "c0")[2, 5, 4] == 3

    def test_classes_that_were_not_drawn_are_ignored(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1, 2) for n in range(5)}, labels={"a": 1, "b": 2})
        drawn = {"c1": ["a"], "c2": []}
        for name in ("c1", "c2"):
            path = data / "labels" / f"{name}.nrrd"
            array = blocks(1) if name == "c1" else blocks()
            image = sitk.GetImageFromArray(array)
            image.CopyInformation(sitk.ReadImage(str(path)))
            sitk.WriteImage(image, str(path))
        (data / "drawn.json").write_text(json.dumps(drawn))
        folder, notes, warned = nnunet(data)
        assert "In 1 cases not all classes were looked for (c1)" in notes[-1]
        assert "Left out, as nothing is labelled there: c2." in warned
        assert described(folder)["numTraining"] == 4
        np.testing.assert_array_equal(labels_of(folder, "c1"), np.where(blocks(1) == 1, 1, 3))

    def test_overlapping_classes_are_regions(self, write_cases: WriteCases, blocks: Blocks) -> None:
        regions = {"background": 0, "whole": [1, 2], "core": [2]}
        data = write_cases({f"c{n}": blocks(1, 2) for n in range(5)}, labels=regions, regions_class_order=[1, 2])
        folder, notes, _ = nnunet(data)
        assert described(folder)["labels"] == {"background": 0, "whole": [1, 2], "core": 2}
        assert described(folder)["regions_class_order"] == [1, 2]
        assert any("regions of numbers" in note for note in notes)
        np.testing.assert_array_equal(labels_of(folder, "c3"), labels_of(data, "c3"))

    def test_folds_are_those_of_a_cross_validation(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1) for n in range(6)})
        found = splits(nnunet(data, folds=3)[0])
        assert [len(fold["val"]) for fold in found] == [2, 2, 2]
        assert sorted(name for fold in found for name in fold["val"]) == [f"c{n}" for n in range(6)]
        assert all(sorted(fold["train"] + fold["val"]) == [f"c{n}" for n in range(6)] for fold in found)

    def test_a_division_that_somebody_made(self, write_cases: WriteCases, blocks: Blocks, tmp_path: Path) -> None:
        data = write_cases({f"c{n}": blocks(1) for n in range(5)})
        lists = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4"]}
        (tmp_path / "split.json").write_text(json.dumps(lists))
        folder, notes, _ = nnunet(data, split_file=str(tmp_path / "split.json"))
        assert splits(folder) == [{"train": ["c0", "c1", "c2"], "val": ["c3"]}]
        assert "5 cases, 1 of them kept for a test" in notes[0]
        assert described(folder)["numTraining"] == 4
        assert (folder / "imagesTs" / "c4_0000.nii.gz").is_file() and (folder / "labelsTs" / "c4.nii.gz").is_file()

    def test_a_single_case(self, write_cases: WriteCases, blocks: Blocks) -> None:
        assert splits(nnunet(write_cases({"c": blocks(1)}))[0]) == [{"train": ["c"], "val": ["c"]}]


class TestRefused:
    def test_names_that_nnunet_does_not_find(self, write_cases: WriteCases, blocks: Blocks, tmp_path: Path) -> None:
        data = write_cases({"c": blocks(1)})
        for name in ("data", "Dataset7_Liver", "Dataset007"):
            with pytest.raises(UsageError, match="such as Dataset007_Liver"):
                export_data(data, tmp_path / name, "nnunet", DataConfig(), lambda event: None)

    def test_a_folder_that_is_there(self, write_cases: WriteCases, blocks: Blocks, tmp_path: Path) -> None:
        (tmp_path / "Dataset007_Test").mkdir()
        with pytest.raises(UsageError, match="is there already and stays as it is"):
            nnunet(write_cases({"c": blocks(1)}))

    def test_an_unknown_format(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"'nnunt' is no format for data sets\. Did you mean 'nnunet'"):
            export_data(tmp_path, tmp_path / "Dataset007_Test", "nnunt", DataConfig(), lambda event: None)

    def test_data_that_a_training_refuses_leave_nothing(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1) for n in range(5)})
        for name in ("c1", "c3"):
            shutil.copy(data / "dataset.json", data / "images" / f"{name}.nrrd")
        with pytest.raises(DataError, match="2 problems with the data"):
            nnunet(data)
        assert sorted(path.name for path in data.parent.iterdir()) == ["data"]

    def test_overlapping_classes_that_were_not_drawn(self, write_cases: WriteCases, blocks: Blocks) -> None:
        data = write_cases({f"c{n}": blocks(1, 2) for n in range(5)}, labels={"whole": [1, 2], "core": [2]})
        (data / "drawn.json").write_text(json.dumps({"c1": ["whole"]}))
        with pytest.raises(
            DataError, match=r"In 1 cases not all classes were looked for \(c1\), and the classes overlap"
        ):
            nnunet(data)
        assert sorted(path.name for path in data.parent.iterdir()) == ["data"]
