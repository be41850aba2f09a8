"""Small labelled data sets on oblique, anisotropic grids, as several tests of exports need them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

SIZE_ZYX = (5, 12, 9)


def volume(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 1.3, 4.0))
    image.SetOrigin((-7.0, 11.0, 3.0))
    image.SetDirection((0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
    return image


@pytest.fixture
def write_cases(tmp_path: Path) -> Callable[..., Path]:
    """Writes label arrays (z, y, x) by case name as images/ and labels/ with a dataset.json, and returns the folder."""

    def write(arrays: Mapping[str, np.ndarray], *, ending: str = ".nrrd", **description: Any) -> Path:
        root = tmp_path / "data"
        for folder in ("images", "labels"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for seed, (name, array) in enumerate(arrays.items()):
            image = np.random.default_rng(seed).normal(100, 20, SIZE_ZYX).astype(np.float32) + 30 * (array != 0)
            sitk.WriteImage(volume(image.astype(np.float32)), str(root / "images" / f"{name}{ending}"))
            sitk.WriteImage(volume(array), str(root / "labels" / f"{name}{ending}"))
        (root / "dataset.json").write_text(json.dumps(description))
        return root

    return write


@pytest.fixture
def blocks() -> Callable[..., np.ndarray]:
    """A label array with a block of each value, one after the other along y."""

    def make(*values: int) -> np.ndarray:
        array = np.zeros(SIZE_ZYX, np.int16)
        for index, value in enumerate(values):
            array[1:4, 1 + 3 * index : 3 + 3 * index, 2:7] = value
        return array

    return make
