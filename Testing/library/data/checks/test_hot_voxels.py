"""A few voxels far beyond all others are found and clipped; tissue, however bright, is not."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.plan import Normalization
from MedSegTrainerLib.data.checks.hot_voxels import clipping_text, find_hot_voxels, without_hot_voxels
from MedSegTrainerLib.data.samples.normalize import normalize
from MedSegTrainerLib.imaging.geometry import Geometry


@pytest.fixture
def array(oblique_geometry: Geometry, generator: np.random.Generator) -> np.ndarray:
    return generator.normal(300, 90, oblique_geometry.size_zyx).astype(np.float32)


@pytest.mark.parametrize("value", [1e9, -1e9, 3e38])
def test_one_voxel_no_longer_decides_the_normalisation(
    array: np.ndarray, oblique_geometry: Geometry, value: float
) -> None:
    spoiled = array.copy()
    spoiled[3, 4, 5] = value
    image = oblique_geometry.place(spoiled)
    (message,) = clipping_text([image])
    assert message.startswith(f"the image has 1 voxel of up to {value:.4g}, where all others lie between")
    kept = sitk.GetArrayFromImage(without_hot_voxels(image))
    expected = normalize(array, Normalization(method="zscore"))
    normalised = normalize(kept, Normalization(method="zscore"))
    others = np.arange(array.size).reshape(array.shape) != np.ravel_multi_index((3, 4, 5), array.shape)
    assert np.abs(normalised - expected)[others].max() < 0.02


def test_what_is_bright_but_no_defect_stays_bit_by_bit(array: np.ndarray, oblique_geometry: Geometry) -> None:
    vessel = array.copy()
    vessel[2:6, 5, 6] = 20_000  # four of two thousand
    slight = array.copy()
    slight[3, 4, 5] = 2500
    for one in (array, vessel, slight, np.zeros_like(array)):
        image = oblique_geometry.place(one)
        assert find_hot_voxels(one) is None and without_hot_voxels(image) is image
        assert clipping_text([image]) == []


def test_the_channel_is_named(array: np.ndarray, oblique_geometry: Geometry) -> None:
    hot = array.copy()
    hot[0, 0, 0] = 1e9
    assert clipping_text([oblique_geometry.place(array), oblique_geometry.place(hot)])[0].startswith("channel 1 has 1")
