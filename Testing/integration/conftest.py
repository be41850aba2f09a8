"""A small made-up data set, and a model trained on it in some seconds, shared by the tests of whole jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job

sys.path.append(str(Path(__file__).resolve().parents[1] / "manual"))  # a page of the manual holds code that is run here
LIVER, CYST = 2, 5  # label values; not 1 and 2, so that values and indices cannot be mixed up unseen
CASES = 6
# nothing may be measured: two trainings with these settings are the same
FIXED_SETTINGS = (
    "trainer.device=cpu", "mixed_precision=false", "channels_last=false", "base_channels=8", "cache=memory",
    "validation_interval=1", "checkpoint_seconds=0", "patch_size=[16, 24, 24]", "batch_size=2",
    "learning_rate=0.005", "fold=0", "folds=3",
)  # fmt: skip


class Anatomy:
    """Two ellipsoids in a body, in LPS mm around the origin; another patient for each seed."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        generator = np.random.default_rng(seed)
        self.seed, self.scale = seed, scale
        self.centers = np.array([[-5.0, 2.0, 1.0], [12.0, -6.0, -4.0]]) + generator.uniform(-1, 1, (2, 3))
        self.radii = np.array([[12.0, 11.0, 13.0], [6.0, 7.0, 6.5]]) * generator.uniform(0.9, 1.1, (2, 3))

    def sample(self, geometry: Geometry, *, noise: float = 15.0) -> tuple[sitk.Image, sitk.Image]:
        """Image (int16, as of a CT) and label map on a grid; edges are blurred as by a scanner."""
        points = _positions(geometry) / self.scale
        depths = [_depth(points, c, r) for c, r in zip(self.centers, self.radii, strict=True)]
        intensity = np.full(points.shape[:-1], -60.0)
        label = np.zeros(intensity.shape, np.uint8)
        for depth, value, shade in zip(depths, (LIVER, CYST), (120.0, 380.0), strict=True):
            share = 1 / (1 + np.exp(-np.clip(depth / 0.6, -30, 30)))
            intensity += share * (shade - intensity)
            label[depth > 0] = value
        outside = np.linalg.norm(points[..., :2], axis=-1) > 23
        intensity[outside] = -1000
        intensity += np.random.default_rng(self.seed).normal(0, noise, intensity.shape)
        return geometry.place(np.round(intensity).astype(np.int16)), geometry.place(label)


def make_patient(
    seed: int,
    degrees: Iterable[float],
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    *,
    scale: float = 1.0,
    noise: float = 15.0,
) -> tuple[sitk.Image, sitk.Image]:
    """Image and label map on a grid (x, y, z) turned around x, y and z, with the anatomy in its middle."""
    direction = Rotation.from_euler("xyz", list(degrees), degrees=True).as_matrix()
    origin = -direction @ ((np.array(size) - 1) / 2 * np.array(spacing))
    grid = Geometry(
        size=size, spacing=spacing, origin=(origin[0], origin[1], origin[2]), direction=tuple(direction.ravel())
    )
    return Anatomy(seed, scale).sample(grid, noise=noise)


def write_dataset(root: Path) -> Path:
    """``images`` and ``labels`` of some patients, each tilted otherwise and on another grid."""
    generator = np.random.default_rng(3)
    for index in range(CASES):
        x, y, z = np.round(np.array([1.5, 1.75, 2.0]) * generator.uniform(0.95, 1.05, 3), 3).tolist()
        size = (30 + index % 3, 26 - index % 2, 22 + index % 2)
        case = make_patient(index, generator.uniform(-9, 9, 3), size, (x, y, z))
        for folder, image in zip(("images", "labels"), case, strict=True):
            (root / folder).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(root / folder / f"case_{index}.nii.gz"))
    return root


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
def patient() -> Callable[..., tuple[sitk.Image, sitk.Image]]:
    return make_patient


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def config_for(dataset: Path) -> Callable[..., TrainConfig]:
    """The configuration of a training on the data set: the fixed settings, and those that are given."""

    def make(*settings: str) -> TrainConfig:
        chosen = with_settings({"data": {"data_dir": str(dataset)}}, [*FIXED_SETTINGS, *settings])
        config: TrainConfig = parse_config(TrainConfig, chosen)
        return config

    return make


@pytest.fixture(scope="session")
def trained(config_for: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """A finished training job, run in this process."""
    folder = JobFolder(tmp_path_factory.mktemp("jobs") / "liver and cyst")
    folder.create(config_for("epochs=3", "samples_per_volume=12"))
    run_job(folder.path)
    return folder
