"""Voxels that are no numbers: replaced at the border, refused elsewhere, and never read as tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.not_finite import with_padding_filled
from MedSegTrainerLib.imaging.read import read_channels

FORMATS = ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.npy"]


def write(array: np.ndarray, path: Path, geometry: Geometry) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        sitk.WriteImage(geometry.place(array), str(path))
    return path


@pytest.fixture
def array(oblique_geometry: Geometry, generator: np.random.Generator) -> np.ndarray:
    return generator.integers(-900, 900, oblique_geometry.size_zyx).astype(np.float32)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_frame_becomes_the_darkest_voxel_and_is_told(
    tmp_path: Path, oblique_geometry: Geometry, array: np.ndarray, name: str, value: float
) -> None:
    frame = np.zeros(array.shape, bool)
    frame[:, :, -3:], frame[0, 1:4, 2:5] = True, True
    path = write(np.where(frame, np.float32(value), array), tmp_path / name, oblique_geometry)
    channels = read_channels([path])
    (filled,), message = with_padding_filled([path], channels)
    filled_array = sitk.GetArrayFromImage(filled)
    assert (filled_array[frame] == array[~frame].min()).all() and (filled_array[~frame] == array[~frame]).all()
    assert not Geometry.of(filled).disagreements(Geometry.of(channels[0]))
    assert message is not None and message.startswith(f"{frame.sum()} voxels are NaN or infinite at the border")


@pytest.mark.parametrize("name", FORMATS)
def test_inside_they_are_refused(tmp_path: Path, oblique_geometry: Geometry, array: np.ndarray, name: str) -> None:
    array[:, :, -1], array[3, 4, 5], array[4, 6, 7] = np.nan, np.nan, np.inf
    path = write(array, tmp_path / name, oblique_geometry)
    with pytest.raises(DataError, match=rf"{name}: 2 voxels are NaN or infinite.*Replace them"):
        with_padding_filled([path], read_channels([path]))


def test_nothing_but_them_is_refused(tmp_path: Path, oblique_geometry: Geometry, array: np.ndarray) -> None:
    path = write(np.full_like(array, np.nan), tmp_path / "a.nrrd", oblique_geometry)
    with pytest.raises(DataError, match=f"{array.size} voxels"):
        with_padding_filled([path], read_channels([path]))


def test_channels_are_told_apart(tmp_path: Path, oblique_geometry: Geometry, array: np.ndarray) -> None:
    second = array.copy()
    second[0] = np.nan
    paths = [write(one, tmp_path / f"{index}.nii.gz", oblique_geometry) for index, one in enumerate((array, second))]
    channels = read_channels(paths)
    filled, _ = with_padding_filled(paths, channels)
    assert filled[0] is channels[0]
    assert (sitk.GetArrayViewFromImage(filled[1])[0] == array[1:].min()).all()
    second[3, 4, 5] = np.nan
    write(second, paths[1], oblique_geometry)
    with pytest.raises(DataError, match=r"1\.nii\.gz: 1 voxels"):
        with_padding_filled(paths, read_channels(paths))


def test_a_single_slice_lies_not_all_at_the_border(tmp_path: Path) -> None:
    array = np.ones((1, 9, 7), np.float32)
    array[0, 4, 3] = np.nan
    path = write(array, tmp_path / "a.mha", Geometry(size=(7, 9, 1)))
    with pytest.raises(DataError, match="1 voxels"):
        with_padding_filled([path], read_channels([path]))


def test_others_stay_as_they_are(tmp_path: Path, oblique_geometry: Geometry, array: np.ndarray) -> None:
    path = write(array, tmp_path / "a.nii.gz", oblique_geometry)
    channels = read_channels([path])
    filled, message = with_padding_filled([path], channels)
    assert message is None and filled[0] is channels[0]
