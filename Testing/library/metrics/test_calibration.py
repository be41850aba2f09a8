"""Errors counted by how uncertain the model was."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.metrics.calibration import NEIGHBOURHOOD, UncertaintyError


def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uncertain exactly where prediction and reference differ, and in a far corner where nothing is."""
    prediction, reference = np.zeros((2, 12, 30, 40), np.int32)
    prediction[4:7, 6:9, 6:10], reference[4:7, 6:9, 7:11] = 1, 1
    uncertainty = 0.6 * (prediction != reference)
    uncertainty[0, 29, 39] = 0.3
    return uncertainty.astype(np.float32), prediction, reference


def test_wrong_voxels_are_in_the_bins_of_their_uncertainty() -> None:
    table = UncertaintyError()
    table.add("a", *case())
    document = table.to_json()
    assert document is not None
    bins = document["bins"]
    assert len(bins) == 10 and bins[0]["from"] == 0
    assert bins[0]["wrong"] == 0 and bins[0]["voxels"] > 100
    unsure = [item for item in bins if item["wrong"]]
    assert [(item["voxels"], item["wrong"]) for item in unsure] == [(2 * 9, 2 * 9)]
    assert unsure[0]["from"] <= 0.6 < unsure[0]["to"]
    assert document["cases"] == {"a": pytest.approx(0.6 * 9 / 36)}


def test_only_the_neighbourhood_of_the_labels_counts() -> None:
    table = UncertaintyError()
    table.add("a", *case())
    sides = (min(12, 7 + NEIGHBOURHOOD), 9 + NEIGHBOURHOOD - 1, 11 + NEIGHBOURHOOD - 1)
    assert table.voxels.sum() == sides[0] * sides[1] * sides[2]
    assert table.voxels[30] == 0


def test_cases_add_up_and_values_beyond_the_last_bin_stay() -> None:
    table = UncertaintyError()
    for name in "ab":
        table.add(name, *case())
    uncertainty, prediction, reference = case()
    uncertainty[5, 7, 8] = 50.0
    table.add("c", uncertainty, prediction, reference)
    document = table.to_json()
    assert document is not None and list(document["cases"]) == ["a", "b", "c"]
    assert sum(item["voxels"] for item in document["bins"]) == table.voxels.sum()


def test_nothing_without_maps() -> None:
    assert UncertaintyError().to_json() is None


def test_a_case_without_prediction_has_no_mean() -> None:
    uncertainty, prediction, reference = case()
    table = UncertaintyError()
    table.add("a", uncertainty, prediction * 0, reference)
    assert table.cases == {"a": None}
