"""Each difference of grids is told with its own remedy: what would lose labels is not advised."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.grid_remedies import Volume, difference

COPY, RESAMPLE = "label.CopyInformation(image)", "Resample the label to the image"


@pytest.fixture
def image(oblique_geometry: Geometry) -> Volume:
    return Volume(name="image", path=Path("image.nrrd"), grid=oblique_geometry)


def explanation(image: Volume, grid: Geometry, path: str = "label.nrrd") -> str:
    return " ".join(difference(image, Volume(name="label", path=Path(path), grid=grid)) or ())


def test_equal_grids(image: Volume) -> None:
    assert explanation(image, image.grid) == ""


@pytest.mark.parametrize("signs", [(1.0, 1.0), (-1.0, -1.0)], ids=["of ITK", "of nibabel"])
def test_identity_affine(image: Volume, signs: tuple[float, float]) -> None:
    lost = Geometry(size=image.grid.size, direction=(signs[0], 0.0, 0.0, 0.0, signs[1], 0.0, 0.0, 0.0, 1.0))
    message = explanation(image, lost)
    assert "The label lost its header: it has an identity affine" in message
    assert COPY in message and RESAMPLE not in message


def test_the_image_lost_its_header(image: Volume) -> None:
    message = explanation(replace(image, grid=Geometry(size=image.grid.size)), image.grid)
    assert "The image lost its header" in message and "image.CopyInformation(label)" in message


def test_codes_of_zero(image: Volume, tmp_path: Path) -> None:
    path = tmp_path / "label.nii"
    sitk.WriteImage(image.grid.place(np.zeros(image.grid.size_zyx, np.uint8)), str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<2h", content, 252, 0, 0)
    path.write_bytes(content)
    message = explanation(image, Geometry.of(sitk.ReadImage(str(path))), str(path))
    assert "its qform and sform codes are 0" in message and COPY in message and RESAMPLE not in message


@pytest.mark.parametrize("unit", [1000.0, 0.001])
def test_another_unit(image: Volume, unit: float) -> None:
    x, y, z = (unit * n for n in image.grid.spacing)
    message = explanation(image, replace(image.grid, spacing=(x, y, z)))
    assert f"{unit:g} times as large" in message and "metre, millimetre or micron" in message and COPY in message


def test_transposed_array(image: Volume) -> None:
    message = explanation(image, Geometry(size=(9, 13, 17)))
    assert "z, y, x and those of nibabel x, y, z" in message and RESAMPLE not in message


def test_turned_photograph() -> None:
    photo = Volume(name="image", path=Path("a.jpg"), grid=Geometry(size=(40, 30, 1)))
    assert "EXIF orientation" in explanation(photo, Geometry(size=(30, 40, 1)), "a.png")


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_voxels_of_another_size_over_the_same_box(image: Volume, factor: float) -> None:
    grid = image.grid if factor < 1 else replace(image.grid, size=(16, 12, 8))
    x, y, z = (factor * n for n in grid.spacing)
    message = explanation(replace(image, grid=grid), grid.resized((x, y, z)))
    assert "Both cover the same box" in message and "sitk.sitkNearestNeighbor" in message


def test_a_part_of_the_grid(image: Volume) -> None:
    message = explanation(image, replace(image.grid, size=(17, 13, 8)))
    assert "is not known" in message and "reference volume" in message


def test_any_other_place(image: Volume) -> None:
    message = explanation(image, replace(image.grid, origin=(0.3, 0.4, 0.5)))
    assert message.endswith("Resample the label to the image, or export it again.")
