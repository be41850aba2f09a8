"""Numbers for one class of one case, the cases where a side is empty, and their summary."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.metrics.metrics import (
    METRICS,
    Values,
    dice_from_counts,
    mean_dice,
    measure,
    metric_key,
    outcome,
    summarize,
)
from MedSegTrainerLib.metrics.surface_distance import surface_distances

SPACING = (3.0, 0.7, 1.1)
CLASSES = [
    LabelClass(value=2, name="liver", color=(255, 0, 0)),
    LabelClass(value=70000, name="tumour", color=(0, 255, 0)),
    LabelClass(value=-1, name="odd", color=(0, 0, 255)),
]


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference: 'liver' overlaps by half, 'tumour' is missed, 'odd' is extra; 9 is unknown."""
    prediction, reference = np.zeros((2, 8, 9, 11), np.int32)
    reference[2:4, 2:6, 2:6] = 2
    prediction[2:4, 2:6, 4:8] = 2
    reference[6, 7, 8] = 70000
    prediction[0, 0, 0] = -1
    prediction[7, 8, :] = 9
    return prediction, reference


def measured(prediction: np.ndarray, reference: np.ndarray) -> dict[str, Values]:
    """The numbers of each class by its name."""
    numbers = measure(prediction, reference, [item.value for item in CLASSES], SPACING)
    return {item.name: numbers[item.value] for item in CLASSES}


class TestOverlap:
    def test_counts_by_hand(self, labels: tuple[np.ndarray, np.ndarray]) -> None:
        liver = measured(*labels)["liver"]
        assert liver["dice"] == pytest.approx(2 * 16 / 64)
        assert liver["iou"] == pytest.approx(16 / 48)
        assert liver["precision"] == liver["recall"] == pytest.approx(0.5)

    def test_precision_and_recall_are_not_swapped(self) -> None:
        prediction, reference = np.zeros((2, 4, 5, 6), np.int32)
        reference[1, 1, :4] = 1
        prediction[1, 1, 0] = 1
        values = measure(prediction, reference, [1], SPACING)[1]
        assert (values["precision"], values["recall"]) == (1.0, 0.25)

    def test_volumes_are_millilitres(self, labels: tuple[np.ndarray, np.ndarray]) -> None:
        prediction, reference = labels
        prediction[0, 0, 5] = 2
        liver = measured(prediction, reference)["liver"]
        assert liver["volume_ml"] == pytest.approx(32 * 3.0 * 0.7 * 1.1 / 1000)
        assert liver["predicted_volume_ml"] == pytest.approx(33 * 3.0 * 0.7 * 1.1 / 1000)

    def test_all_numbers_by_hand(self) -> None:
        """6 voxels predicted, 4 in the reference, 3 in both, of 120; they lie in a row along x."""
        prediction, reference = np.zeros((2, 4, 5, 6), np.int32)
        prediction[1, 2, :] = 1
        reference[1, 2, 3:6] = reference[1, 3, 5] = 1
        values = measure(prediction, reference, [1], SPACING, tolerance_mm=1.1)[1]
        to_reference = [3 * 1.1, 2 * 1.1, 1.1, 0, 0, 0]
        to_prediction = [0, 0, 0, 0.7]
        assert values == {
            "dice": pytest.approx(6 / 10),
            "iou": pytest.approx(3 / 7),
            "precision": pytest.approx(3 / 6),
            "recall": pytest.approx(3 / 4),
            "specificity": pytest.approx(113 / 116),
            "accuracy": pytest.approx(116 / 120),
            "surface_dice": pytest.approx(8 / 10),
            "hd95_mm": pytest.approx(np.percentile(to_reference, 95)),
            "hd_mm": pytest.approx(3.3),
            "asd_mm": pytest.approx(sum(to_reference + to_prediction) / 10),
            "volume_ml": pytest.approx(4 * 2.31e-3),
            "predicted_volume_ml": pytest.approx(6 * 2.31e-3),
            "volume_error_ml": pytest.approx(2 * 2.31e-3),
            "volume_error_percent": pytest.approx(50),
        }

    def test_too_small_is_an_error_as_too_large(self) -> None:
        prediction, reference = np.zeros((2, 4, 5, 6), np.int32)
        prediction[1, 2, :3] = reference[1, 2, :] = 1
        values = measure(prediction, reference, [1], SPACING)[1]
        assert values["volume_error_ml"] == pytest.approx(3 * 2.31e-3)
        assert values["volume_error_percent"] == pytest.approx(50)

    def test_voxels_that_nobody_labelled_are_in_no_number(self) -> None:
        prediction, reference = np.zeros((2, 4, 5, 6), np.int32)
        prediction[0, 0, :2] = reference[0, 0, 1:3] = 1
        unknown = np.ones((4, 5, 6), bool)
        unknown.ravel()[:10] = False
        values = measure(prediction, reference, [1], SPACING, unknown=unknown)[1]
        assert (values["accuracy"], values["specificity"]) == (8 / 10, 7 / 8)

    def test_a_structure_that_reaches_them_has_no_size_and_no_surface(self) -> None:
        """1 lies in a labelled box, 2 in drawn slices, 3 is found only; 2 alone touches what nobody labelled."""
        prediction, reference = np.zeros((2, 9, 10, 8), np.int32)
        unknown = np.zeros(reference.shape, bool)
        unknown[:, 6:] = True
        unknown[:, 7] = False
        prediction[2:5, 1:4, 2:5] = reference[2:5, 1:5, 2:5] = 1
        prediction[3:6, 7, 2:4] = reference[3:7, 7, 2:5] = 2
        prediction[7, 3, 6] = 3
        values = measure(prediction, reference, [1, 2, 3], SPACING, unknown=unknown)
        plain = measure(prediction, reference, [1, 2, 3], SPACING)
        assert values[1] == {**plain[1], "accuracy": values[1]["accuracy"], "specificity": values[1]["specificity"]}
        assert {key for key, value in values[2].items() if value is None} == {
            "surface_dice", "hd95_mm", "hd_mm", "asd_mm", "volume_ml", "predicted_volume_ml", "volume_error_ml",
            "volume_error_percent",
        }  # fmt: skip
        assert values[2]["dice"] == plain[2]["dice"] == 2 * 6 / 18
        assert [outcome(values[value]) for value in (1, 2, 3)] == ["found", "found", "extra"]
        assert values[3]["volume_ml"] == 0
        nothing = np.zeros(reference.shape, bool)
        assert measure(prediction, reference, [1, 2, 3], SPACING, unknown=nothing) == plain

    @pytest.mark.parametrize("seed", range(3))
    def test_against_simpleitk(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        prediction, reference = generator.integers(0, 4, (2, 5, 8, 13))
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*(sitk.GetImageFromArray(side.astype(np.uint8)) for side in (prediction, reference)))
        measured = measure(prediction, reference, [1, 2, 3], SPACING)
        for value, values in measured.items():
            assert values["dice"] == pytest.approx(overlap.GetDiceCoefficient(value), abs=1e-6)
            assert values["iou"] == pytest.approx(overlap.GetJaccardCoefficient(value), abs=1e-6)
            assert values["recall"] == pytest.approx(1 - overlap.GetFalseNegativeError(value), abs=1e-6)
            assert values["precision"] == pytest.approx(1 - overlap.GetFalseDiscoveryRate(value), abs=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_against_monai(self, seed: int) -> None:
        metrics, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
        generator = np.random.default_rng(seed)
        prediction, reference = generator.integers(0, 4, (2, 5, 8, 13))
        masks = [
            torch.tensor(np.stack([side == value for value in (1, 2, 3)])).int()[None]
            for side in (prediction, reference)
        ]
        table = metrics.get_confusion_matrix(*masks, include_background=True)
        measured = measure(prediction, reference, [1, 2, 3], SPACING)
        names = {"recall": "sensitivity", "specificity": "specificity", "precision": "precision",
                 "accuracy": "accuracy", "dice": "f1 score"}  # fmt: skip
        for key, name in names.items():
            expected = metrics.compute_confusion_matrix_metric(name, table)[0].tolist()
            assert [values[key] for values in measured.values()] == pytest.approx(expected, abs=1e-6)

    def test_distances_are_those_of_the_whole_volume(self, labels: tuple[np.ndarray, np.ndarray]) -> None:
        prediction, reference = labels
        liver = measured(*labels)["liver"]
        whole = surface_distances(prediction == 2, reference == 2, SPACING)
        assert whole is not None
        assert liver["hd95_mm"] == pytest.approx(whole.hd95())
        assert liver["asd_mm"] == pytest.approx(whole.asd())

    def test_one_slice_is_measured_as_an_image(self) -> None:
        prediction, reference = np.zeros((2, 1, 20, 24), np.int32)
        reference[0, 5:16, 4:15] = 1
        prediction[0, 5:16, 6:17] = 1
        values = measure(prediction, reference, [1], (5.0, 0.5, 2.0))[1]
        flat = surface_distances(prediction[0] == 1, reference[0] == 1, (0.5, 2.0))
        assert flat is not None and flat.to_reference.size == 40
        assert values["asd_mm"] == pytest.approx(flat.asd())

    def test_other_shapes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"\(3, 4, 5\).*\(3, 4, 6\)"):
            measure(np.zeros((3, 4, 5), np.int32), np.zeros((3, 4, 6), np.int32), [1], SPACING)

    def test_no_classes(self) -> None:
        assert measure(np.ones((3, 4, 5), np.int32), np.ones((3, 4, 5), np.int32), [], SPACING) == {}


class TestEmptySides:
    def test_missed(self, labels: tuple[np.ndarray, np.ndarray]) -> None:
        values = measured(*labels)["tumour"]
        assert outcome(values) == "missed"
        assert (values["dice"], values["iou"], values["recall"], values["precision"]) == (0, 0, 0, None)
        assert values["hd95_mm"] is None and values["asd_mm"] is None
        assert values["hd_mm"] is None and values["surface_dice"] == 0
        assert (values["specificity"], values["accuracy"]) == (1, 791 / 792)
        assert values["volume_ml"] and values["predicted_volume_ml"] == 0
        assert (values["volume_error_ml"], values["volume_error_percent"]) == (values["volume_ml"], 100)

    def test_extra(self, labels: tuple[np.ndarray, np.ndarray]) -> None:
        values = measured(*labels)["odd"]
        assert outcome(values) == "extra"
        assert (values["dice"], values["iou"], values["recall"], values["precision"]) == (0, 0, None, 0)
        assert values["hd95_mm"] is None and values["hd_mm"] is None and values["asd_mm"] is None
        assert values["surface_dice"] == 0
        assert values["specificity"] == values["accuracy"] == 791 / 792
        assert values["volume_ml"] == 0 and values["predicted_volume_ml"]
        assert (values["volume_error_ml"], values["volume_error_percent"]) == (values["predicted_volume_ml"], None)

    def test_absent(self) -> None:
        empty = np.zeros((3, 4, 5), np.int32)
        values = measure(empty, empty, [1], SPACING)[1]
        assert outcome(values) == "absent"
        assert values == dict.fromkeys(METRICS)

    def test_nothing_outside_the_reference_has_no_specificity(self) -> None:
        values = measure(np.zeros((3, 4, 5), np.int32), np.ones((3, 4, 5), np.int32), [1], SPACING)[1]
        assert (values["specificity"], values["accuracy"]) == (None, 0)

    def test_found(self, labels: tuple[np.ndarray, np.ndarray]) -> None:
        assert outcome(measured(*labels)["liver"]) == "found"

    def test_overlapping_nowhere_is_still_found(self) -> None:
        prediction, reference = np.zeros((2, 4, 5, 6), np.int32)
        prediction[0, 0, 0] = reference[3, 4, 5] = 1
        values = measure(prediction, reference, [1], SPACING)[1]
        assert outcome(values) == "found"
        assert (values["dice"], values["precision"], values["recall"]) == (0, 0, 0)


class TestDiceFromCounts:
    def test_formula(self) -> None:
        assert dice_from_counts(3, 4, 8) == pytest.approx(0.5)

    def test_both_empty_is_not_defined(self) -> None:
        assert dice_from_counts(0, 0, 0) is None

    def test_one_empty_is_zero(self) -> None:
        assert dice_from_counts(0, 5, 0) == dice_from_counts(0, 0, 5) == 0

    def test_training_need_not_import_scipy(self) -> None:
        code = "import sys, MedSegTrainerLib.metrics.metrics; sys.exit('scipy' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestSummarize:
    def test_none_is_left_out(self) -> None:
        cases = {name: {"liver": {**dict.fromkeys(METRICS), "dice": dice}} for name, dice in
                 [("a", 0.5), ("b", None), ("c", 0.8), ("d", 0.2)]}  # fmt: skip
        dice = summarize(cases)["liver"]["dice"]
        assert dice["count"] == 3
        assert dice["mean"] == pytest.approx(0.5)
        assert dice["std"] == pytest.approx(0.3)
        assert (dice["median"], dice["min"], dice["max"]) == (0.5, 0.2, 0.8)

    def test_nothing_known(self) -> None:
        values = summarize({"a": {"liver": dict.fromkeys(METRICS)}})["liver"]["hd95_mm"]
        assert values == {"mean": None, "std": None, "median": None, "min": None, "max": None, "count": 0}

    def test_one_value_has_no_spread(self) -> None:
        values = summarize({"a": {"liver": {**dict.fromkeys(METRICS), "dice": 0.7}}})["liver"]["dice"]
        assert (values["mean"], values["std"], values["count"]) == (0.7, None, 1)

    def test_mean_dice_of_a_case_leaves_absent_classes_out(self) -> None:
        assert mean_dice({"a": {"dice": 0.4}, "b": {"dice": None}, "c": {"dice": 0.8}}) == pytest.approx(0.6)
        assert mean_dice({"a": {"dice": None}}) is None


@pytest.mark.parametrize(
    "name, key",
    [
        ("dice", "dice"),
        ("Dice", "dice"),
        ("hd95", "hd95_mm"),
        ("asd_mm", "asd_mm"),
        (" sensitivity", "recall"),
        ("F1", "dice"),
        ("HD", "hd_mm"),
        ("Surface Dice", "surface_dice"),
        ("relative-volume-error", "volume_error_percent"),
    ],
)
def test_names_as_people_write_them(name: str, key: str) -> None:
    assert metric_key(name) == key


def test_a_name_of_no_metric() -> None:
    with pytest.raises(ConfigError, match=r"'hd59' is no metric\. Did you mean 'hd95'\?"):
        metric_key("hd59")
