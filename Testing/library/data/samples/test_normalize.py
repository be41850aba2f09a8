"""Known answers of each normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.config.plan import Normalization
from MedSegTrainerLib.data.samples.normalize import normalize

VALUES = np.array([[[-1000, 0, 40], [80, 200, 3000]]], np.int16)


def test_zscore(generator: np.random.Generator) -> None:
    normalised = normalize(generator.normal(300, 20, (3, 5, 7)), Normalization(method="zscore"))
    assert normalised.dtype == np.float32
    assert normalised.mean() == pytest.approx(0, abs=1e-5)
    assert normalised.std() == pytest.approx(1, abs=1e-5)


def test_minmax() -> None:
    normalised = normalize(VALUES, Normalization(method="minmax"))
    assert normalised.ravel() == pytest.approx([0, 0.25, 0.26, 0.27, 0.3, 1])


def test_percentile_is_not_moved_by_few_extreme_voxels(generator: np.random.Generator) -> None:
    array = generator.uniform(0, 100, (10, 20, 30))
    array[0, 0, :2] = 1e6, -1e6
    normalised = normalize(array, Normalization(method="percentile"))
    low, high = np.percentile(array, (0.5, 99.5))
    assert normalised[0, 0, :2].tolist() == [1, 0]
    assert normalised[5, 6, 7] == pytest.approx(np.clip((array[5, 6, 7] - low) / (high - low), 0, 1), abs=1e-5)


def test_ct_clips_and_takes_the_numbers_of_the_training_set() -> None:
    how = Normalization(method="ct", low=-100, high=300, mean=60, std=20)
    assert normalize(VALUES, how).ravel() == pytest.approx([-8, -3, -1, 1, 7, 12])


def test_none_only_changes_the_type() -> None:
    normalised = normalize(VALUES, Normalization(method="none"))
    assert normalised.dtype == np.float32
    assert np.array_equal(normalised, VALUES)


@pytest.mark.parametrize("method", ["zscore", "minmax", "percentile"])
def test_a_constant_volume_becomes_0(method: str) -> None:
    assert not normalize(np.full((2, 3, 4), 1234.5), Normalization(method=method)).any()  # type: ignore[arg-type]


def test_the_input_stays_as_it_was() -> None:
    before = VALUES.astype(np.float32)
    for method in ("zscore", "minmax", "percentile", "ct"):
        normalize(before, Normalization(method=method))  # type: ignore[arg-type]
    assert np.array_equal(before, VALUES)
