"""What every test may ask for: a tiny volume that hides no mistake of axes, and the real data."""

from __future__ import annotations

import gc
import locale
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.imaging.geometry import Geometry

SEED = 20240607


def pytest_collection_finish() -> None:
    """What the imports left behind stays for good, so no collection need look through it again: each costs a second."""
    gc.freeze()


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


@contextmanager
def same_locale() -> Iterator[None]:
    """Writing DICOM leaves the process with the locale C, and all tests after it with ASCII files."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@pytest.fixture
def write_series() -> Callable[..., Path]:
    """Writes a volume as a DICOM series into a folder, named so that names and places have different orders.

    ``tags`` pairs tags, such as ``0028|1053``, with their text, beside those that every slice has.
    """

    def write(image: sitk.Image, folder: Path, uid: str = "1.2.3.4", tags: Mapping[str, str] | None = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        direction = np.array(image.GetDirection()).reshape(3, 3)
        count = image.GetSize()[2]
        for index in range(count):
            piece = image[:, :, index]
            position = image.TransformIndexToPhysicalPoint((0, 0, index))
            values = {
                "0008|0060": "CT", "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0020|000d": "1.2.3", "0020|000e": uid,
                "0008|0018": f"{uid}.{index + 1}", "0020|0013": str(count - index), "0020|0052": "1.2.5",
                "0020|0032": "\\".join(f"{value:.10g}" for value in position),
                "0020|0037": "\\".join(f"{value:.10g}" for value in direction[:, :2].T.ravel()),
                "0018|0050": f"{image.GetSpacing()[2]:.10g}", **(tags or {}),
            }  # fmt: skip
            for key, value in values.items():
                piece.SetMetaData(key, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetImageIO("GDCMImageIO")
            writer.SetFileName(str(folder / f"{uid}_{(7 * index) % 101:03d}.dcm"))
            with same_locale():
                writer.Execute(piece)
        return folder

    return write
