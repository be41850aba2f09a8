"""Reading a case for pictures: nearest to LPS, only what belongs to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.report.case_arrays import read_case


class TestReadCase:
    def test_axes_become_nearest_to_lps(self, tmp_path: Path) -> None:
        """A volume stored as RAI-like axes: its first voxel is at the patient's left, posterior, inferior."""
        array = np.zeros((5, 6, 7), np.uint8)
        array[0, 0, 0] = 1
        stored = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
        path = tmp_path / "a.nrrd"
        sitk.WriteImage(stored.place(array), str(path))
        case = read_case({"prediction": str(path), "reference": str(path), "image": None}, [1])
        assert np.argwhere(case.reference).tolist() == [[0, 5, 6]]
        assert case.spacing_zyx == (3.0, 2.0, 1.0)

    def test_other_labels_and_misplaced_images_are_left_out(self, tmp_path: Path) -> None:
        geometry = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0))
        labels = np.full((5, 6, 7), 3, np.uint8)
        labels[2] = 1
        sitk.WriteImage(geometry.place(labels), str(tmp_path / "a.nrrd"))
        moved = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0), origin=(50.0, 0.0, 0.0))
        sitk.WriteImage(moved.place(labels), str(tmp_path / "moved.nrrd"))
        sitk.WriteImage(geometry.place(labels), str(tmp_path / "fits.nrrd"))
        files: dict[str, str | None] = {side: str(tmp_path / "a.nrrd") for side in ("prediction", "reference")}
        assert set(np.unique(read_case(files, [1]).reference)) == {0, 1}
        assert read_case({**files, "image": str(tmp_path / "moved.nrrd")}, [1]).image is None
        assert read_case({**files, "image": str(tmp_path / "gone.nrrd")}, [1]).image is None
        assert read_case({**files, "image": str(tmp_path / "fits.nrrd")}, [1]).image is not None

    def test_what_nobody_labelled_is_left_out_of_both_sides(self, tmp_path: Path) -> None:
        geometry = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0))
        for name, value in (("prediction", 1), ("reference", 9)):
            labels = np.ones((5, 6, 7), np.uint8)
            labels[3] = value
            sitk.WriteImage(geometry.place(labels), str(tmp_path / f"{name}.nrrd"))
        files: dict[str, str | None] = {side: str(tmp_path / f"{side}.nrrd") for side in ("prediction", "reference")}
        case = read_case(files, [1], 9)
        assert case.prediction.any(axis=(1, 2)).tolist() == case.reference.any(axis=(1, 2)).tolist()
        assert case.prediction.any(axis=(1, 2)).tolist() == [True, True, True, False, True]

    def test_uncertainty_where_it_fits(self, tmp_path: Path) -> None:
        geometry = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
        labels, doubt = np.ones((5, 6, 7), np.uint8), np.zeros((5, 6, 7), np.float32)
        doubt[0, 0, 0] = 0.5
        sitk.WriteImage(geometry.place(labels), str(tmp_path / "a.nrrd"))
        sitk.WriteImage(geometry.place(doubt), str(tmp_path / "doubt.nrrd"))
        files: dict[str, str | None] = {side: str(tmp_path / "a.nrrd") for side in ("prediction", "reference")}
        result = read_case({**files, "uncertainty": str(tmp_path / "doubt.nrrd")}, [1]).uncertainty
        assert result is not None and np.argwhere(result).tolist() == [[0, 5, 6]]
        assert read_case(files, [1]).uncertainty is None

    def test_a_picture_without_size_is_in_pixels(self, tmp_path: Path) -> None:
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((6, 7), np.uint8)), str(tmp_path / "a.png"))
        path = str(tmp_path / "a.png")
        assert read_case({"prediction": path, "reference": path}, [1]).length == "pixels"
