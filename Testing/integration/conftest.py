"""A small made-up data set, and a model trained on it in some seconds, shared by the tests of whole jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.job import JobFolder, Outcome
from MedSegTrainerLib.run import run_job
from MedSegTrainerLib.validation import parse_config, with_settings

LIVER, CYST = 2, 5  # label values; not 1 and 2, so that values and indices cannot be mixed up unseen
CASES = 6
# nothing may be measured: two trainings with these settings are the same
FIXED_SETTINGS = (
    "trainer.device=cpu", "mixed_precision=false", "channels_last=false", "base_channels=8", "cache=memory",
    "validation_interval=1", "checkpoint_seconds=0", "patch_size=[24, 32, 32]", "batch_size=2", "learning_rate=0.005",
)  # fmt: skip


class Anatomy:
    """Two ellipsoids in a body, in LPS mm around the middle of the volume; another patient for each seed."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.seed = seed
        self.centers = np.array([[-10.0, 4.0, 2.0], [24.0, -12.0, -9.0]]) + generator.uniform(-2, 2, (2, 3))
        self.radii = np.array([[24.0, 22.0, 27.0], [12.0, 13.0, 14.0]]) * generator.uniform(0.9, 1.1, (2, 3))

    def sample(self, geometry: Geometry, *, noise: float = 15.0) -> tuple[sitk.Image, sitk.Image]:
        """Image (int16, as of a CT) and label map on a grid; edges are blurred as by a scanner."""
        points = _positions(geometry)
        depths = [_depth(points, c, r) for c, r in zip(self.centers, self.radii, strict=True)]
        intensity = np.full(points.shape[:-1], -60.0)
        label = np.zeros(intensity.shape, np.uint8)
        for depth, value, shade in zip(depths, (LIVER, CYST), (120.0, 380.0), strict=True):
            share = 1 / (1 + np.exp(-np.clip(depth / 0.8, -30, 30)))
            intensity += share * (shade - intensity)
            label[depth > 0] = value
        outside = np.linalg.norm(points[..., :2], axis=-1) > 46
        intensity[outside] = -1000
        intensity += np.random.default_rng(self.seed).normal(0, noise, intensity.shape)
        return geometry.place(np.round(intensity).astype(np.int16)), geometry.place(label)


def tilted(degrees: Iterable[float], size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    """A grid turned around x, y and z whose middle is the origin of the anatomy."""
    direction = Rotation.from_euler("xyz", list(degrees), degrees=True).as_matrix()
    origin = -direction @ ((np.array(size) - 1) / 2 * np.array(spacing))
    return Geometry(
        size=size, spacing=spacing, origin=(origin[0], origin[1], origin[2]), direction=tuple(direction.ravel())
    )


def write_dataset(root: Path) -> Path:
    """``images`` and ``labels`` of some patients, each tilted otherwise and on another grid."""
    generator = np.random.default_rng(3)
    for index in range(CASES):
        spacing = tuple(np.round(np.array([2.0, 2.2, 2.6]) * generator.uniform(0.95, 1.05, 3), 3).tolist())
        grid = tilted(generator.uniform(-9, 9, 3), (48 + index % 3, 44 - index % 2, 37 + index % 2), spacing)
        for folder, image in zip(("images", "labels"), Anatomy(index).sample(grid), strict=True):
            (root / folder).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(root / folder / f"case_{index}.nii.gz"))
    return root


def train_config(data: Path, *settings: str) -> TrainConfig:
    config: TrainConfig = parse_config(TrainConfig, with_settings({"data": {"data_dir": str(data)}}, list(settings)))
    return config


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training job."""

    data: Path
    folder: JobFolder
    outcome: Outcome


def _positions(geometry: Geometry) -> np.ndarray:
    """LPS mm of every voxel, (z, y, x, 3)."""
    axes = np.meshgrid(*[np.arange(n) for n in geometry.size_zyx], indexing="ij")
    index = np.stack([axes[2], axes[1], axes[0]], axis=-1) * np.array(geometry.spacing)
    return index @ np.array(geometry.direction).reshape(3, 3).T + np.array(geometry.origin)


def _depth(points: np.ndarray, center: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """About how many mm each point lies inside an ellipsoid; negative outside."""
    reach = np.linalg.norm((points - center) / radii, axis=-1)
    return (1 - reach) * radii.min()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = JobFolder(tmp_path_factory.mktemp("jobs") / "liver and cyst")
    folder.create(train_config(dataset, *FIXED_SETTINGS, "epochs=3", "samples_per_volume=16", "train_split=0.5", "val_split=0.3"))
    return Trained(data=dataset, folder=folder, outcome=run_job(folder.path))


def dice(one: np.ndarray, other: np.ndarray, value: Any) -> float:
    both = np.logical_and(one == value, other == value).sum()
    return float(2 * both / ((one == value).sum() + (other == value).sum()))
