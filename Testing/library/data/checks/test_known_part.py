"""How much of a case is labelled, as a sentence, and how large a structure is of which only slices are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from MedSegTrainerLib.data.checks.known_part import KnownPart, known_part
from MedSegTrainerLib.imaging.geometry import Geometry


def known(*planes: int, axis: int = 1, shape: tuple[int, int, int] = (10, 48, 12)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    np.moveaxis(mask, axis, 0)[list(planes)] = True
    return mask


def part(mask: np.ndarray) -> KnownPart:
    found = known_part(mask)
    assert found is not None
    return found


def test_all_of_it() -> None:
    assert known_part(np.ones((2, 3, 4), bool)) is None


def test_nothing_of_it() -> None:
    assert str(part(known())) == "nothing of it is labelled" and part(known()).slices == 0


@pytest.mark.parametrize("axis, name", list(enumerate("zyx")))
def test_slices(axis: int, name: str) -> None:
    found = part(known(1, 5, 9, axis=axis, shape=(12, 12, 12)))
    assert str(found) == f"labelled in 3 of 12 slices along {name}, 25 % of the voxels"
    assert found.has_gaps and found.is_of_slices and found.span == 9


def test_slices_that_follow_each_other() -> None:
    found = part(known(3, 4, 5))
    assert (found.has_gaps, found.is_of_slices, found.span) == (False, True, 3)


def test_a_box() -> None:
    mask = np.zeros((10, 20, 40), bool)
    mask[:5, 2:6, 10:30] = True
    assert str(part(mask)) == "labelled in 4 of 20 slices along y, 5 % of the voxels" and not part(mask).is_of_slices


def test_all_but_a_hole() -> None:
    mask = np.ones((10, 20, 40), bool)
    mask[2, 3, 4] = False
    assert str(part(mask)) == "more than 99 % of its voxels are labelled"
    mask[:, 3:, :20] = False
    assert str(part(mask)) == "57 % of its voxels are labelled"


def test_the_volume_of_a_ball_from_its_slices() -> None:
    radius, edge = 20.0, np.array([1.0, 1.0, 2.0])  # z, y, x
    grid = Geometry(size=(30, 50, 50), spacing=(2.0, 1.0, 1.0))
    position = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size_zyx], indexing="ij"), axis=-1) * edge
    ball = np.linalg.norm(position - np.array([25.0, 24.0, 30.0]), axis=-1) <= radius
    exact = 4 / 3 * math.pi * radius**3
    for planes in (range(2, 50, 4), range(4, 50, 6)):
        drawn = [plane for plane in planes if ball[:, plane].any()]
        found = part(known(*drawn, shape=ball.shape))
        assert found.volume_mm3(int(ball[:, drawn].sum()), grid) == pytest.approx(exact, rel=0.1)
    middle = part(known(24, shape=ball.shape))
    assert middle.volume_mm3(int(ball[:, 24].sum()), grid) == pytest.approx((math.pi * radius**2) ** 1.5, rel=0.02)


def test_the_volume_in_a_box_is_what_is_labelled() -> None:
    mask = np.zeros((10, 20, 40), bool)
    mask[:5, 2:6, 10:30] = True
    assert part(mask).volume_mm3(100, Geometry(size=(40, 20, 10), spacing=(1.0, 2.0, 3.0))) == 600
