"""What every test may ask for: a tiny volume that hides no mistake of axes, and the real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.geometry import Geometry

SEED = 20240607


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture
def oblique_geometry() -> Geometry:
    """Not cubic, anisotropic, tilted, with mirrored and exchanged axes, away from the origin."""
    rotation = Rotation.from_euler("xyz", (11, -7, 16), degrees=True).as_matrix()
    direction = rotation @ np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1]])
    return Geometry(
        size=(17, 13, 9), spacing=(0.8, 1.1, 2.5), origin=(-31.5, 12.25, 7.0), direction=tuple(direction.ravel())
    )


@pytest.fixture
def oblique_case(oblique_geometry: Geometry, generator: np.random.Generator) -> tuple[sitk.Image, sitk.Image]:
    """A float32 image and its uint8 label map: a box of label 1 with a smaller box of label 2 in it, off centre."""
    label = np.zeros(oblique_geometry.size_zyx, dtype=np.uint8)
    label[2:7, 3:10, 4:14] = 1
    label[3:5, 5:8, 6:10] = 2
    image = 100 + 80.0 * label + 10 * generator.standard_normal(label.shape)
    return oblique_geometry.place(image.astype(np.float32)), oblique_geometry.place(label)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real volumes beside the repository; the test is skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs real volumes in {folder}")
    return folder
