"""The tables as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from MedSegTrainerLib.evaluation.csv_tables import case_table, summary_table
from MedSegTrainerLib.metrics.metrics import METRICS, summarize

FOUND: dict[str, float | None] = {**dict.fromkeys(METRICS, 0.5), "volume_ml": 0.2, "hd95_mm": 3.0}
MISSED: dict[str, float | None] = {**FOUND, "dice": 0.0, "recall": 0.0, "precision": None, "hd95_mm": None}
KEYS = ("dice", "hd95_mm", "volume_ml")


def document(length: str = "mm") -> dict[str, Any]:
    cases = {"a, b": {"liver": FOUND}, "c": {"liver": MISSED}}
    return {"cases": cases, "summary": summarize(cases), "length": length}


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_cases() -> None:
    assert rows(case_table(document(), KEYS)) == [
        ["case", "class", "outcome", *KEYS], ["a, b", "liver", "found", "0.5", "3.0", "0.2"],
        ["c", "liver", "missed", "0.0", "", "0.2"],
    ]  # fmt: skip


def test_summary() -> None:
    table = rows(summary_table(document(), KEYS))
    assert table[0] == ["class", "metric", "mean", "std", "median", "min", "max", "count"]
    assert [row[:2] for row in table[1:]] == [["liver", key] for key in KEYS]
    assert table[1][2] == "0.25" and table[1][4:] == ["0.25", "0.0", "0.5", "2"]
    assert table[2][2:] == ["3.0", "", "3.0", "3.0", "3.0", "1"]


def test_pixels_are_named_and_counted() -> None:
    table = rows(case_table(document("pixels"), KEYS))
    assert table[0][3:] == ["dice", "hd95_px", "volume_px"] and table[1][3:] == ["0.5", "3.0", "200.0"]
    assert rows(summary_table(document("pixels"), KEYS))[3][:3] == ["liver", "volume_px", "200.0"]


def test_names_that_spreadsheets_would_evaluate_are_text() -> None:
    values = {**FOUND, "dice": -0.5}
    cases = {"=HYPERLINK(1)": {"-cyst": values}}
    hostile = {"cases": cases, "summary": summarize(cases), "length": "mm"}
    assert rows(case_table(hostile, KEYS))[1][:4] == ["'=HYPERLINK(1)", "'-cyst", "found", "-0.5"]
    assert rows(summary_table(hostile, KEYS))[1][:3] == ["'-cyst", "dice", "-0.5"]
