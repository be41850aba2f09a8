"""Polygons as pixels: the rule, and the same as matplotlib's test of points."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from MedSegTrainerLib.imaging.polygons import fill_polygons

SHAPE = (19, 24)


def box(low: float, high: float) -> np.ndarray:
    return np.array([(low, low), (high, low), (high, high), (low, high)])


def inside(polygon: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return Outline(polygon).contains_points(np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(SHAPE)


def test_pixels_are_inside_by_their_centres() -> None:
    mask = fill_polygons([box(2.5, 5.5)], SHAPE)
    assert mask.sum() == 9 and mask[3:6, 3:6].all()


def test_neighbours_share_an_edge_and_no_pixel() -> None:
    left = np.array([(2, 2), (6, 2), (6, 9), (2, 9)])
    masks = [fill_polygons([left + np.array([shift, 0])], SHAPE) for shift in (0, 4)]
    assert not (masks[0] & masks[1]).any()
    assert (masks[0] | masks[1]).sum() == 8 * 7


def test_one_inside_another_is_a_hole() -> None:
    mask = fill_polygons([box(1.5, 12.5), box(4.5, 8.5), box(5.5, 6.5)], SHAPE)
    assert mask.sum() == 11 * 11 - 4 * 4 + 1


@pytest.mark.parametrize("way", [1, -1])
def test_a_keyhole_is_a_hole(way: int) -> None:
    outer, inner = box(1.5, 12.5), box(4.5, 8.5)[::way]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    assert np.array_equal(fill_polygons([keyhole], SHAPE), fill_polygons([outer, inner], SHAPE))


def test_beyond_the_image_it_is_cut() -> None:
    assert fill_polygons([box(-40.5, 60.5)], SHAPE).all()
    assert not fill_polygons([box(-9.5, -1.5)], SHAPE).any()
    mask = fill_polygons([box(-5.5, 3.5)], SHAPE)
    assert mask.sum() == 16 and mask[:4, :4].all()


@pytest.mark.parametrize("corners", [1, 2])
def test_what_encloses_nothing(corners: int) -> None:
    assert not fill_polygons([box(2.5, 5.5)[:corners]], SHAPE).any()


def test_as_matplotlib_finds_points(generator: np.random.Generator) -> None:
    """Stars of any form, also such that cross themselves and leave the image."""
    for _ in range(50):
        count = int(generator.integers(3, 40))
        polygons = [generator.uniform(-4, 26, (count, 2)) for _ in range(2)]
        expected = inside(polygons[0]) ^ inside(polygons[1])
        assert np.array_equal(fill_polygons(polygons, SHAPE), expected)
