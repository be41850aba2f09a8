"""Points on the surfaces of label maps."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.report.surface_points import distance_outside, find_surface, grid_step

SPACING = (3.0, 1.1, 0.7)
CENTRE = np.array([30.0, 22.0, 19.0])  # mm, z y x
RADIUS = 12.0


def ball(radius: float = RADIUS, value: int = 3, shape: tuple[int, int, int] = (21, 40, 55)) -> np.ndarray:
    """Label map (z, y, x) of a ball on anisotropic voxels; the first voxel's middle is at 0 mm."""
    points = np.stack(np.meshgrid(*(np.arange(n) * mm for n, mm in zip(shape, SPACING, strict=True)), indexing="ij"))
    inside = np.linalg.norm(points - CENTRE[:, None, None, None], axis=0) <= radius
    return (inside * value).astype(np.int32)


def test_points_lie_on_a_ball_and_normals_point_outwards() -> None:
    surface = find_surface(ball(), [3], SPACING)
    from_centre = surface.points - CENTRE[::-1]
    distances = np.linalg.norm(from_centre, axis=1)
    assert len(surface.points) > 1000 and set(surface.values) == {3}
    assert distances.mean() == pytest.approx(RADIUS, abs=0.5)
    assert np.abs(distances - RADIUS).max() < 2.0  # slices of 3 mm
    assert np.linalg.norm(surface.normals, axis=1) == pytest.approx(1)
    assert (np.einsum("ij,ij->i", surface.normals, from_centre / distances[:, None]) > 0.5).all()


def test_a_single_voxel_and_the_edge_of_the_volume() -> None:
    labels = np.zeros((5, 6, 7), np.int32)
    labels[2, 3, 3], labels[0, 0, 0] = 1, 2
    surface = find_surface(labels, [1, 2, 5], SPACING)
    assert set(surface.values) == {1, 2}
    for value, voxel in ((1, (3 * 0.7, 3 * 1.1, 2 * 3.0)), (2, (0.0, 0.0, 0.0))):
        assert surface.points[surface.values == value].mean(axis=0) == pytest.approx(voxel, abs=0.35)


def test_the_grid_grows_coarse_before_it_grows_large() -> None:
    labels = np.zeros((400, 20, 20), bool)
    labels[:, 5:15, 5:15] = True
    assert grid_step(labels, (3.0, 1.0, 1.0)) == pytest.approx(1200 / 120)
    assert grid_step(ball() > 0, SPACING) == pytest.approx(0.35)


def test_distances_have_the_sign_of_the_side() -> None:
    reference = find_surface(ball(), [3], SPACING)
    for radius, sign in ((RADIUS + 3, 1), (RADIUS - 3, -1)):
        apart = distance_outside(find_surface(ball(radius), [3], SPACING), reference)
        assert apart.mean() == pytest.approx(3 * sign, abs=0.6) and (apart * sign > 0).mean() > 0.99


def test_a_structure_that_the_reference_lacks_is_infinitely_far() -> None:
    apart = distance_outside(find_surface(ball(value=4), [3, 4], SPACING), find_surface(ball(), [3, 4], SPACING))
    assert np.isinf(apart).all()


def test_nothing_labelled() -> None:
    surface = find_surface(np.zeros((4, 5, 6), np.int32), [1], SPACING)
    assert surface.points.shape == (0, 3) and surface.values.size == 0
