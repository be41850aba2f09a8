"""The tables of an evaluation as CSV text; an empty cell is a number that is not defined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MedSegTrainerLib.files.csv_text import csv_text
from MedSegTrainerLib.metrics.metrics import outcome
from MedSegTrainerLib.metrics.units import Length, display_key, display_value

STATISTICS = ("mean", "std", "median", "min", "max")


def case_table(document: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """A row for each case and class, a column for each metric; where pixels are counted the columns say so."""
    length: Length = document["length"]
    not_drawn = document.get("not_drawn", {})
    rows = (
        [
            case,
            name,
            outcome(values, drawn=name not in not_drawn.get(case, ())),
            *(display_value(values[metric], metric, length) for metric in metrics),
        ]
        for case, by_class in document["cases"].items()
        for name, values in by_class.items()
    )
    return csv_text(["case", "class", "outcome", *(display_key(metric, length) for metric in metrics)], rows)


def summary_table(document: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """A row for each class and metric: mean, std, median, min and max over the cases, and of how many."""
    length: Length = document["length"]
    rows = (
        [
            name,
            display_key(metric, length),
            *(display_value(by_metric[metric][key], metric, length) for key in STATISTICS),
            by_metric[metric]["count"],
        ]
        for name, by_metric in document["summary"].items()
        for metric in metrics
    )
    return csv_text(["class", "metric", *STATISTICS, "count"], rows)
