"""Millimetres where files say how large their voxels are, else pixels or voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_pair
from MedSegTrainerLib.metrics.metrics import METRICS
from MedSegTrainerLib.metrics.units import common_length, display_key, display_metric, display_value, length_of


class TestLengthOf:
    @pytest.mark.parametrize(
        ("name", "size", "spacing", "length"),
        [
            ("a.png", (7, 6, 1), (1.0, 1.0, 1.0), "pixels"),
            ("a.npy", (7, 6, 5), (1.0, 1.0, 1.0), "voxels"),
            ("a.npy", (7, 6, 5), (0.7, 1.1, 3.0), "mm"),  # the prediction's grid
            ("a.nii.gz", (7, 6, 5), (1.0, 1.0, 1.0), "mm"),
            ("a.nii.gz", (7, 6, 1), (1.0, 1.0, 1.0), "mm"),
        ],
    )
    def test_of_a_reference(
        self, name: str, size: tuple[int, int, int], spacing: tuple[float, float, float], length: str
    ) -> None:
        grid = Geometry(size=size, spacing=spacing)
        assert length_of(Path(name), grid.place(np.zeros(grid.size_zyx, np.uint8))) == length

    def test_an_array_takes_the_grid_of_its_prediction(self, tmp_path: Path) -> None:
        import SimpleITK as sitk

        labels = np.ones((5, 6, 7), np.uint8)
        np.save(tmp_path / "reference.npy", labels)
        grid = Geometry(size=(7, 6, 5), spacing=(0.7, 1.1, 3.0))
        sitk.WriteImage(grid.place(labels), str(tmp_path / "prediction.nrrd"))
        _, reference = read_label_pair(tmp_path / "prediction.nrrd", tmp_path / "reference.npy")
        assert length_of(tmp_path / "reference.npy", reference) == "mm"

    def test_of_several(self) -> None:
        assert common_length(["pixels", "pixels"]) == "pixels"
        assert common_length(["pixels", "mm"]) == "mm" == common_length([])


class TestShown:
    def test_millimetres_are_as_they_are(self) -> None:
        for key, metric in METRICS.items():
            assert display_metric(key, "mm") is metric
            assert display_key(key, "mm") == key and display_value(2.5, key, "mm") == 2.5

    def test_pixels(self) -> None:
        assert display_metric("hd95_mm", "pixels").unit == "px"
        area = display_metric("volume_error_ml", "pixels")
        assert (area.title, area.unit, area.decimals) == ("Area error", "px", 0)
        assert display_value(0.25, "volume_error_ml", "pixels") == 250
        assert display_value(3.0, "hd95_mm", "pixels") == 3.0
        assert display_value(12.0, "volume_error_percent", "pixels") == 12.0
        assert display_value(None, "volume_ml", "pixels") is None
        keys = [display_key(key, "pixels") for key in ("dice", "hd95_mm", "volume_ml", "volume_error_percent")]
        assert keys == ["dice", "hd95_px", "volume_px", "volume_error_percent"]

    def test_voxels_have_volumes(self) -> None:
        volume = display_metric("volume_ml", "voxels")
        assert (volume.title, volume.unit) == ("Reference volume", "vx")
