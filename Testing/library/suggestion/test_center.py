"""Where in a slice to look, in RAS."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.suggestion.center import center_ras


def as_ras(grid: Geometry, voxel: tuple[int, int, int]) -> tuple[float, ...]:
    """By ITK itself."""
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    x, y, z = image.TransformIndexToPhysicalPoint(voxel)
    return -x, -y, z


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_middle_of_what_is_unsure(oblique_geometry: Geometry, place: int) -> None:
    entropy = np.zeros(oblique_geometry.size_zyx, np.float32)
    at = [n // 2 for n in entropy.shape]
    box = tuple(slice(center - 1, center + 2) for center in at)
    entropy[box] = 0.4
    entropy[tuple(at)] = 0.5
    mask = np.zeros(entropy.shape, bool)
    found = center_ras(entropy, mask, place, at[place], oblique_geometry)
    nearest = np.array(as_ras(oblique_geometry, (at[2], at[1], at[0])))
    assert np.linalg.norm(nearest - found) <= 2 * max(oblique_geometry.spacing)
    normal = np.array(oblique_geometry.direction).reshape(3, 3)[:, 2 - place] * [-1, -1, 1]
    assert (nearest - found) @ normal == pytest.approx(0, abs=0.01)  # in the slice


def test_near_the_class_where_it_is_seen() -> None:
    grid = Geometry(size=(40, 40, 3))
    entropy = np.zeros(grid.size_zyx, np.float32)
    entropy[1, 5:10, 5:10], entropy[1, 30:35, 30:35] = 0.9, 0.3
    mask = np.zeros(entropy.shape, bool)
    assert center_ras(entropy, mask, 0, 1, grid) == (-7, -7, 1)
    mask[1, 28:31, 28:31] = True
    assert center_ras(entropy, mask, 0, 1, grid) == (-32, -32, 1)
