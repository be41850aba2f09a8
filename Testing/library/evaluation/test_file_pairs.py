"""Which files belong together, by their names and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.evaluation.file_pairs import Pair, pair_folders
from MedSegTrainerLib.events import Warned


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((2, 3, 4), np.uint8)), str(path))
    return path


class TestPairing:
    def test_by_name_whatever_the_format(self, tmp_path: Path) -> None:
        prediction = save(tmp_path / "p" / "a.seg.nrrd")
        reference = save(tmp_path / "r" / "a.nii.gz")
        assert pair_folders(tmp_path / "p", tmp_path / "r") == [
            Pair(name="a", prediction=prediction, reference=reference, image=None)
        ]

    @pytest.mark.parametrize(
        ("labels", "images", "image_name"),
        [
            ("labels", "images", "a.nrrd"),
            ("masks", "images", "a.nii.gz"),
            ("labelsTr", "imagesTr", "a_0000.nii.gz"),
            ("labelsTs", "imagesTs", "a.nii.gz"),
        ],
    )
    def test_a_data_set_folder_and_the_labels_in_it(
        self, tmp_path: Path, labels: str, images: str, image_name: str
    ) -> None:
        save(tmp_path / "p" / "a.nrrd")
        reference = save(tmp_path / "set" / labels / "a.nii.gz")
        image = save(tmp_path / "set" / images / image_name)
        save(tmp_path / "set" / images / "a_0001.nii.gz")
        for given in (tmp_path / "set", tmp_path / "set" / labels):
            assert [(p.reference, p.image) for p in pair_folders(tmp_path / "p", given)] == [(reference, image)]

    def test_several_label_folders_are_taken_together(self, tmp_path: Path) -> None:
        for name, folder in (("a", "labelsTr"), ("b", "labelsTs")):
            save(tmp_path / "p" / f"{name}.nrrd")
            save(tmp_path / "set" / folder / f"{name}.nrrd")
        assert [p.name for p in pair_folders(tmp_path / "p", tmp_path / "set")] == ["a", "b"]

    def test_the_result_of_the_first_channel_belongs_to_its_case(self, tmp_path: Path) -> None:
        """A model of one channel names the result of imagesTs/a_0000 so, and nnU-Net's label map is a."""
        for name in (
            "p/a_0000.nrrd",
            "p/b.nrrd",
            "set/labelsTs/a.nrrd",
            "set/labelsTs/b.nrrd",
            "set/imagesTs/a_0000.nrrd",
        ):
            save(tmp_path / name)
        for labels in (tmp_path / "set", tmp_path / "set" / "labelsTs"):
            pairs = pair_folders(tmp_path / "p", labels)
            assert [(p.name, p.reference.name) for p in pairs] == [("a_0000", "a.nrrd"), ("b", "b.nrrd")]
            assert pairs[0].image == tmp_path / "set" / "imagesTs" / "a_0000.nrrd"

    def test_by_what_stands_before_the_words_for_label_maps(self, tmp_path: Path) -> None:
        for name in ("p/a_T1w.nrrd", "p/b_T1w.nrrd", "r/a_mask.nrrd", "r/b_mask.nrrd"):
            save(tmp_path / name)
        pairs = pair_folders(tmp_path / "p", tmp_path / "r")
        assert [(p.name, p.reference.name) for p in pairs] == [("a_T1w", "a_mask.nrrd"), ("b_T1w", "b_mask.nrrd")]

    def test_a_prediction_without_reference_is_named(self, tmp_path: Path) -> None:
        for path in ("p/a.nrrd", "p/lost.nrrd", "r/a.nrrd"):
            save(tmp_path / path)
        with pytest.raises(DataError, match=r"No reference .* for lost"):
            pair_folders(tmp_path / "p", tmp_path / "r")

    def test_nothing_in_common_names_both_sides(self, tmp_path: Path) -> None:
        for path in ("p/left.nrrd", "r/right.nrrd"):
            save(tmp_path / path)
        with pytest.raises(DataError, match="left and right"):
            pair_folders(tmp_path / "p", tmp_path / "r")

    def test_a_reference_without_prediction_is_a_warning(self, tmp_path: Path) -> None:
        for path in ("p/a.nrrd", "r/a.nrrd", "r/unused.nrrd"):
            save(tmp_path / path)
        events: list[Any] = []
        assert len(pair_folders(tmp_path / "p", tmp_path / "r", events.append)) == 1
        assert [type(event) for event in events] == [Warned]
        assert "unused" in events[0].message

    def test_two_files_of_one_case(self, tmp_path: Path) -> None:
        for path in ("p/a.nrrd", "p/a.nii.gz", "r/a.nrrd"):
            save(tmp_path / path)
        with pytest.raises(DataError, match=r"2 files belong to the same case.*a\.nii\.gz"):
            pair_folders(tmp_path / "p", tmp_path / "r")

    def test_empty_and_missing_folders(self, tmp_path: Path) -> None:
        save(tmp_path / "r" / "a.nrrd")
        (tmp_path / "p").mkdir()
        with pytest.raises(DataError, match="has no label maps"):
            pair_folders(tmp_path / "p", tmp_path / "r")
        with pytest.raises(DataError, match="is not a folder"):
            pair_folders(tmp_path / "nowhere", tmp_path / "r")
