"""Probability and uncertainty maps: their files, and the spool that holds all classes on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.inference.probability_maps import (
    MapSelection,
    Prediction,
    ProbabilitySpool,
    map_files,
    write_maps,
)

CLASSES = [
    LabelClass(value=value, name=name, color=(1, 2, 3)) for value, name in ((3, "left/right: lung"), (7, "Leber"))
]
SHAPE = (4, 3, 5)


def image(array: np.ndarray) -> sitk.Image:
    volume = sitk.GetImageFromArray(array)
    volume.SetSpacing((0.8, 1.1, 2.5))
    return volume


class TestSpool:
    def test_planes_in_classes_out(self, tmp_path: Path) -> None:
        values = np.random.default_rng(1).random((2, *SHAPE), dtype=np.float32)
        spool = ProbabilitySpool(2, SHAPE, tmp_path)
        for first in (0, 3):
            spool.write(first, values[:, first : first + 3])
        for index in (1, 0):
            np.testing.assert_allclose(spool.read(index), values[index], atol=1e-5)
        spool.close()
        assert list(tmp_path.iterdir()) == []


class TestFiles:
    def test_a_file_for_each_class_beside_the_label_maps(self, tmp_path: Path) -> None:
        selection = MapSelection(probabilities=True, uncertainty=True)
        files = map_files(tmp_path, "case.1", "nii.gz", CLASSES, selection, with_std=True)
        assert [file.relative_to(tmp_path).as_posix() for file in files.values()] == [
            "probabilities/case.1/3-left_right_lung.nii.gz", "probabilities/case.1/7-Leber.nii.gz",
            "uncertainty/case.1_entropy.nii.gz", "uncertainty/case.1_spread.nii.gz",
        ]  # fmt: skip

    def test_a_single_prediction_has_no_standard_deviation(self, tmp_path: Path) -> None:
        files = map_files(tmp_path, "a", "nrrd", CLASSES, MapSelection(uncertainty=True), with_std=False)
        assert list(files) == ["entropy"]

    @pytest.mark.parametrize("suffix", ["nrrd", "nii.gz", "mha", "npy"])
    def test_written_values_come_back_as_fractions(self, tmp_path: Path, suffix: str) -> None:
        values = np.random.default_rng(2).random(SHAPE, dtype=np.float32)
        spool = ProbabilitySpool(2, SHAPE, tmp_path)
        spool.write(0, np.stack([values, 1 - values]))
        prediction = Prediction(
            labels=image(np.zeros(SHAPE, np.uint8)),
            to_image=image,
            entropy=values.astype(np.float16),
            probabilities=spool,
        )
        selection = MapSelection(probabilities=True, uncertainty=True)
        files = map_files(tmp_path, "a", suffix, CLASSES, selection, with_std=False)
        write_maps(prediction, files, CLASSES)
        for kind, expected, tolerance in (("7", 1 - values, 1e-5), ("entropy", values, 1e-3)):
            path = files[kind]
            read = np.load(path) if suffix == "npy" else sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
            assert read.dtype == np.float32
            np.testing.assert_allclose(read, expected, atol=tolerance)
        if suffix != "npy":
            np.testing.assert_allclose(sitk.ReadImage(str(files["3"])).GetSpacing(), (0.8, 1.1, 2.5), rtol=1e-6)
