"""Rows of the report's tables, from the document that ``evaluate`` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MedSegTrainerLib.metrics.metrics import UNKNOWN, Metric, Outcome, Values, outcome
from MedSegTrainerLib.metrics.units import Length, display_value
from MedSegTrainerLib.report.formatting import DASH, number

OUTCOME_TITLES = {"missed": "missed", "extra": "extra", "absent": DASH, "found": DASH, UNKNOWN: f"{DASH} {UNKNOWN}"}
STATISTICS = ("mean", "std", "median", "min", "max")


def main_metrics(metrics: Mapping[str, Metric]) -> list[str]:
    """Those of ``metrics`` that the first table shows; all where none of the main ones was asked for."""
    return [key for key, metric in metrics.items() if metric.is_main] or list(metrics)


def summary_row(document: Mapping[str, Any], name: str, color: str, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A structure over all cases: ``cells`` for the main metrics, ``dots`` are the Dice of the cases."""
    cases = [case[name] for case in document["cases"].values()]
    outcomes = [case_outcome(document, case, name) for case in document["cases"]]
    summary, length = document["summary"][name], document["length"]
    return {
        "name": name,
        "color": color,
        "dots": [values["dice"] for values in cases if values["dice"] is not None],
        "mean": summary["dice"]["mean"],
        "found": outcomes.count("found"),
        "expected": outcomes.count("found") + outcomes.count("missed"),
        "missed": outcomes.count("missed"),
        "extra": outcomes.count("extra"),
        "drawn": len(outcomes) - outcomes.count(UNKNOWN),
        "cells": [statistics(summary[key], key, metrics[key], length) for key in main_metrics(metrics)],
    }


def statistics(values: Values, key: str, metric: Metric, length: Length) -> dict[str, Any]:
    """Texts; ``has_std`` says whether there are several values, so that median and range mean something."""
    texts = {name: number(display_value(values[name], key, length), metric.decimals) for name in STATISTICS}
    return {**texts, "count": values["count"], "has_std": values["std"] is not None}


def all_statistics(
    document: Mapping[str, Any], colors: Mapping[str, str], metrics: Mapping[str, Metric]
) -> list[dict[str, Any]]:
    """For each metric the statistics of every structure, which the page unfolds."""
    summary, length = document["summary"], document["length"]
    return [
        {
            "metric": metric,
            "rows": [
                (name, color, statistics(summary[name][key], key, metric, length)) for name, color in colors.items()
            ],
        }
        for key, metric in metrics.items()
    ]


def case_row(document: Mapping[str, Any], name: str, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A case with a cell for each structure."""
    return {
        "name": name,
        "mean_dice": number(document["overall"]["case_mean_dice"][name], 3),
        "cells": [
            _case_cell(values, case_outcome(document, name, item), metrics, document["length"])
            for item, values in document["cases"][name].items()
        ],
    }


def case_outcome(document: Mapping[str, Any], case: str, name: str) -> Outcome:
    """What became of a structure in a case."""
    return outcome(document["cases"][case][name], drawn=name not in document.get("not_drawn", {}).get(case, ()))


def box_panels(
    document: Mapping[str, Any], metrics: Mapping[str, Metric], keys: Sequence[str]
) -> list[tuple[Metric, dict[str, list[float]]]]:
    """Metric and structure to the values of its cases, of those ``keys`` that are shown and defined anywhere."""
    panels = []
    for key in (key for key in keys if key in metrics):
        values = {name: defined(document, name, key) for name in document["summary"]}
        if any(values.values()):
            panels.append((metrics[key], values))
    return panels


def volume_pairs(document: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Structure to (reference, predicted) volume of the cases that have it on one side at least."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for name in document["summary"]:
        sides = (defined(document, name, key) for key in ("volume_ml", "predicted_volume_ml"))
        pairs[name] = list(zip(*sides, strict=True))  # both or none of the two are defined
    return pairs


def defined(document: Mapping[str, Any], name: str, key: str) -> list[float]:
    """Numbers of a structure in all cases where there is one, in the unit that is shown."""
    values = (display_value(case[name][key], key, document["length"]) for case in document["cases"].values())
    return [value for value in values if value is not None]


def _case_cell(values: Values, kind: Outcome, metrics: Mapping[str, Metric], length: Length) -> dict[str, Any]:
    """Texts in the order of the metrics; where a number is not defined, why."""
    texts = [
        OUTCOME_TITLES[kind]
        if values[key] is None
        else number(display_value(values[key], key, length), metric.decimals)
        for key, metric in metrics.items()
    ]
    return {"outcome": kind, "texts": texts}
