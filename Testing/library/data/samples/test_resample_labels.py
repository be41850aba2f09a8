"""Labels on a coarser or finer grid: what is thin and labelled stays, and nothing else becomes labelled."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.samples.resample_labels import resample_labels
from MedSegTrainerLib.imaging.geometry import Geometry, resample, to_canonical

IGNORED = -1


def on_grid(values: np.ndarray, spacing: tuple[float, float, float], new: tuple[float, float, float]) -> np.ndarray:
    """``spacing`` and ``new`` are x, y, z."""
    nz, ny, nx = values.shape
    geometry = Geometry(size=(nx, ny, nz), spacing=spacing, origin=(3.0, -7.5, 11.0))
    return resample_labels(geometry.place(values.astype(np.int32)), geometry.resized(new), IGNORED)


def with_slice(at: int, axis: int, shape: tuple[int, int, int] = (12, 17, 10)) -> np.ndarray:
    """One labelled slice with a square of class 4."""
    values = np.full(shape, IGNORED)
    part: list[slice | int] = [slice(None)] * 3
    part[axis] = at
    values[tuple(part)] = 0
    square: list[slice | int] = [slice(2, 8)] * 3
    square[axis] = at
    values[tuple(square)] = 4
    return values


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [1.2, 1.5, 2.0, 3.0, 4.3])
def test_a_slice_stays_in_the_plane_that_it_lies_in(axis: int, factor: float) -> None:
    shape = (12, 17, 10)
    new = [1.0, 1.0, 1.0]
    new[2 - axis] = factor
    for at in range(shape[axis]):
        values = with_slice(at, axis)
        result = on_grid(values, (1.0, 1.0, 1.0), (new[0], new[1], new[2]))
        planes = np.flatnonzero((result != IGNORED).any(axis=tuple({0, 1, 2} - {axis})))
        length = result.shape[axis]
        assert length < shape[axis]
        assert planes.tolist() == [int((at + 0.5) * length / shape[axis])]
        np.testing.assert_array_equal(result.take(planes[0], axis), values.take(at, axis))


def test_a_slice_covers_its_own_place_on_a_finer_grid() -> None:
    values = with_slice(5, 1)
    result = on_grid(values, (1.0, 1.0, 1.0), (1.0, 0.25, 1.0))
    assert np.flatnonzero((result != IGNORED).any(axis=(0, 2))).tolist() == [20, 21, 22, 23]
    np.testing.assert_array_equal(result[:, 20:24], np.repeat(values[:, 5:6], 4, axis=1))


def test_coarser_across_and_finer_along_the_slice() -> None:
    for at in range(17):
        values = with_slice(at, 1)
        result = on_grid(values, (1.0, 0.5, 1.0), (0.5, 1.7, 0.5))
        planes = np.flatnonzero((result != IGNORED).any(axis=(0, 2)))
        assert len(planes) == 1
        expected = values[:, at].repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(result[:, planes[0]], expected)


def test_every_fourth_slice_on_a_grid_of_half_the_planes() -> None:
    values = np.full((6, 40, 7), IGNORED)
    values[:, 1::4] = np.arange(10)[None, :, None]
    result = on_grid(values, (1.0, 1.0, 1.0), (1.0, 2.0, 1.0))
    known = np.flatnonzero((result != IGNORED).all(axis=(0, 2)))
    assert known.tolist() == list(range(0, 20, 2)) and result[0, known, 0].tolist() == list(range(10))


def test_of_two_slices_in_one_plane_the_nearer_one() -> None:
    values = np.full((4, 10, 3), IGNORED)
    values[:, 3], values[:, 4] = 6, 7
    result = on_grid(values, (1.0, 1.0, 1.0), (1.0, 5.0, 1.0))
    assert (result[:, 0] == 6).all() and (result[:, 1] == IGNORED).all()


def test_what_is_large_is_as_nearest_neighbour_has_it(generator: np.random.Generator) -> None:
    """Also where the grid is oblique: the border of a labelled region does not move."""
    values = generator.integers(0, 3, (14, 20, 16)).astype(np.int32)
    values[:, 9:] = IGNORED
    values[:6, :, 11:] = IGNORED
    direction = np.linalg.qr(generator.standard_normal((3, 3)))[0]
    geometry = Geometry(size=(16, 20, 14), spacing=(0.9, 1.1, 1.3), direction=tuple(direction.ravel()))
    labels = to_canonical(geometry.place(values))
    grid = Geometry.of(labels).resized((1.37, 1.93, 2.21))
    plain = sitk.GetArrayFromImage(resample(labels, grid, is_label=True))
    np.testing.assert_array_equal(resample_labels(labels, grid, IGNORED), plain)
    np.testing.assert_array_equal(resample_labels(labels, grid, None), plain)


def test_a_single_voxel_stays() -> None:
    values = np.full((9, 9, 9), IGNORED)
    values[4, 2, 7] = 3
    result = on_grid(values, (1.0, 1.0, 1.0), (3.0, 3.0, 3.0))
    assert np.argwhere(result != IGNORED).tolist() == [[1, 0, 2]] and result[1, 0, 2] == 3
