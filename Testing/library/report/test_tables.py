"""Rows of the report's tables."""

from __future__ import annotations

from typing import Any

from MedSegTrainerLib.metrics.metrics import METRICS, summarize
from MedSegTrainerLib.report.tables import box_panels, case_row, main_metrics, summary_row, volume_pairs

FOUND: dict[str, float | None] = {**dict.fromkeys(METRICS, 0.5), "volume_ml": 2.0, "predicted_volume_ml": 3.0}
MISSED: dict[str, float | None] = {
    **FOUND, "dice": 0.0, "recall": 0.0, "precision": None, "hd95_mm": None, "predicted_volume_ml": 0.0,
}  # fmt: skip
ABSENT: dict[str, float | None] = dict.fromkeys(METRICS)
KEYS = {key: METRICS[key] for key in ("dice", "hd95_mm", "volume_ml")}


def document(length: str = "mm") -> dict[str, Any]:
    cases = {"a": {"liver": FOUND}, "b": {"liver": MISSED}, "c": {"liver": ABSENT}}
    means = {"a": 0.5, "b": 0.0, "c": None}
    return {"cases": cases, "summary": summarize(cases), "length": length, "overall": {"case_mean_dice": means}}


def test_a_structure_over_all_cases() -> None:
    row = summary_row(document(), "liver", "#aa0011", KEYS)
    assert (row["found"], row["expected"], row["missed"], row["extra"]) == (1, 2, 1, 0)
    assert row["dots"] == [0.5, 0.0] and row["mean"] == 0.25
    assert [cell["mean"] for cell in row["cells"]] == ["0.250", "0.50"]
    assert row["cells"][0]["has_std"] and not row["cells"][1]["has_std"]


def test_a_case_says_why_a_number_is_missing() -> None:
    texts = [case_row(document(), name, KEYS)["cells"][0]["texts"] for name in "abc"]
    assert texts == [["0.500", "0.50", "2.00"], ["0.000", "missed", "2.00"], ["\N{EN DASH}"] * 3]


def test_a_case_in_which_nobody_looked_counts_nowhere_and_says_so() -> None:
    partly = {**document(), "not_drawn": {"c": ["liver"]}}
    assert case_row(partly, "c", KEYS)["cells"] == [{"outcome": "not drawn", "texts": ["\N{EN DASH} not drawn"] * 3}]
    row = summary_row(partly, "liver", "#aa0011", KEYS)
    assert (row["found"], row["expected"], row["drawn"]) == (1, 2, 2)
    assert summary_row(document(), "liver", "#aa0011", KEYS)["drawn"] == 3


def test_pixels_are_counted() -> None:
    assert case_row(document("pixels"), "a", {"volume_ml": METRICS["volume_ml"]})["cells"][0]["texts"] == ["2000.00"]
    assert volume_pairs(document("pixels")) == {"liver": [(2000.0, 3000.0), (2000.0, 0.0)]}


def test_a_missed_structure_has_a_volume_of_nothing_and_an_absent_one_none() -> None:
    assert volume_pairs(document()) == {"liver": [(2.0, 3.0), (2.0, 0.0)]}


def test_boxes_only_of_what_is_shown_and_defined() -> None:
    panels = box_panels(document(), KEYS, ("dice", "asd_mm", "hd95_mm"))
    assert [(metric.title, values) for metric, values in panels] == [
        ("Dice", {"liver": [0.5, 0.0]}), ("HD95", {"liver": [0.5]}),
    ]  # fmt: skip


def test_the_first_table_has_the_main_numbers_or_those_asked_for() -> None:
    assert main_metrics(KEYS) == ["dice", "hd95_mm"]
    assert main_metrics({"volume_ml": METRICS["volume_ml"]}) == ["volume_ml"]
