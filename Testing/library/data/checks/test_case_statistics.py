"""What the doctor measures: digests, where labels lie on the image, specks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from MedSegTrainerLib.data.checks.case_statistics import (
    CaseStatistics,
    background_limit,
    find_specks,
    sampling_step,
    take_statistics,
)

SHAPE = (8, 12, 15)
SPACING = (3.0, 1.5, 0.8)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def body(generator: np.random.Generator) -> np.ndarray:
    """Tissue of 100 in air of 0, on the left half of x."""
    image = generator.normal(0, 2, SHAPE)
    image[2:7, 2:10, :8] += 100
    return image


def box(low: int, high: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    labels[3:6, 4:8, low:high] = 5
    return labels


def stats(image: np.ndarray, labels: np.ndarray) -> CaseStatistics:
    return take_statistics([image], labels, np.flatnonzero(labels), SPACING, IDENTITY)


class TestTakeTraits:
    def test_labels_on_tissue_and_beside_it(self, generator: np.random.Generator) -> None:
        image = body(generator)
        assert stats(image, box(2, 6)).dark == 0
        assert stats(image, box(6, 10)).dark == pytest.approx(0.5)
        assert stats(image, box(9, 12)).dark == 1

    def test_two_tissues_do_not_make_one_of_them_background(self, generator: np.random.Generator) -> None:
        image = body(generator)
        image[2:7, 2:10, :4] += 150
        assert stats(image, box(5, 8)).dark == 0

    def test_padding(self, generator: np.random.Generator) -> None:
        image = body(generator)
        assert stats(image, box(9, 12)).padded == 0  # dark, but nothing is exactly alike
        image[..., 8:] = -50
        assert stats(image, box(9, 12)).padded == 1
        assert stats(image, box(2, 6)).padded == 0

    def test_centers_in_mm(self, generator: np.random.Generator) -> None:
        centers = stats(body(generator), box(2, 6)).centers
        assert centers[5] == pytest.approx((4 * 3.0, 5.5 * 1.5, 3.5 * 0.8))

    def test_levels_are_in_deviations_of_the_volume(self, generator: np.random.Generator) -> None:
        image, labels = body(generator), box(2, 6)
        expected = (image[labels == 5].mean() - image.mean()) / image.std()
        assert stats(image, labels).levels[5][0] == pytest.approx(expected, abs=1e-4)
        assert stats(300 - 20 * image, labels).levels[5][0] == pytest.approx(-expected, abs=1e-4)

    def test_digests_tell_voxels_and_not_types(self, generator: np.random.Generator) -> None:
        image, labels = np.round(body(generator)), box(2, 6)
        first = stats(image.astype(np.float32), labels)
        assert stats(image.astype(np.int16), labels) == first
        changed = image.copy()
        changed[0, 0, 0] += 1
        assert stats(changed, labels).image_digest != first.image_digest
        assert stats(changed, labels).label_digest == first.label_digest
        assert stats(image.reshape(12, 8, 15), box(2, 6).reshape(12, 8, 15)).image_digest != first.image_digest

    def test_without_labels(self, generator: np.random.Generator) -> None:
        none = stats(body(generator), np.zeros(SHAPE, np.int32))
        assert (none.label_digest, none.dark, none.padded, none.levels, none.centers) == ("", 0, 0, {}, {})


def test_background_of_a_constant_image() -> None:
    assert background_limit(np.full(100, 7.0), 7.0, 7.0) == pytest.approx(7)


class TestSpecks:
    def test_are_small_and_away(self) -> None:
        labels = np.zeros((10, 20, 30), np.int32)
        labels[2:8, 4:14, 5:15] = 3
        labels[0, 0, 0:2] = labels[9, 19, 29] = 3
        labels[8, 14, 15] = 3  # touches the box by a corner
        labels[0, 10:15, 20:25] = 4
        assert find_specks(labels, [3, 4, 7]) == {3: (2, 3)}

    def test_a_second_structure_is_none(self) -> None:
        labels = np.zeros((10, 20, 30), np.int32)
        labels[2:4, 4:6, 5:7] = labels[7, 10:12, 20:22] = 3
        assert find_specks(labels, [3]) == {}


@pytest.mark.parametrize("shape", [(8, 12, 15), (100, 512, 512), (1, 700, 300), (7, 1, 1)])
def test_samples_are_spread_over_columns(shape: tuple[int, int, int]) -> None:
    step = sampling_step(shape, 1000)
    assert math.prod(shape) / step <= max(1100, 2 * 1000)
    taken = np.arange(0, math.prod(shape), step) % shape[2]
    assert len(np.unique(taken)) > 0.6 * shape[2]
