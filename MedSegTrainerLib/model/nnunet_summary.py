"""How good a fold of nnU-Net was on the cases that it held out, from its ``summary.json``; standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.files.typed import fits

MEASURED_ON = "cross-validation"


def summary_metrics(text: bytes, names: Sequence[str]) -> dict[str, Any]:
    """``metrics`` of a model: mean Dice of each class, in the order of ``names``, and the cases; {} of a summary that
    is damaged, which says nothing of the model itself."""
    try:
        summary = parse_json(text.replace(b"NaN", b"null"), "summary.json", ModelError)  # as Python writes it
    except ModelError:
        return {}
    if not fits(summary, dict[str, Any]) or not fits(summary.get("metric_per_case"), list[dict[str, Any]]):
        return {}
    cases, means = summary["metric_per_case"], summary.get("mean")
    if not fits(means, dict[str, dict[str, Any]]) or len(means) != len(names):
        return {}
    keys = list(means)
    dice: dict[str, dict[str, Any]] = {}
    for name, key in zip(names, keys, strict=True):
        found = [_dice(case.get("metrics"), key) for case in cases]
        count = sum(value is not None for value in found)
        mean = means[key].get("Dice")
        dice[name] = {"mean": mean if count and fits(mean, float) else None, "count": count}
    return _metrics(dice, [_case_name(case.get("reference_file")) for case in cases])


def joined_metrics(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same of all folds together; {} where nobody says it of each of them."""
    if not all(metrics):
        return {}
    dice = {}
    for name in metrics[0]["summary"]:
        parts = [one["summary"][name]["dice"] for one in metrics]
        known = [part for part in parts if part["mean"] is not None]
        count = sum(part["count"] for part in known)
        dice[name] = {"mean": sum(part["mean"] * part["count"] for part in known) / count if count else None}
        dice[name]["count"] = count
    return _metrics(dice, [case for one in metrics for case in one["validation_cases"]])


def _metrics(dice: Mapping[str, Mapping[str, Any]], cases: Sequence[str]) -> dict[str, Any]:
    known = [entry["mean"] for entry in dice.values() if entry["mean"] is not None]
    return {
        "val_dice": sum(known) / len(known) if known else None,
        "val_dice_per_class": {name: entry["mean"] for name, entry in dice.items()},
        "summary": {name: {"dice": dict(entry)} for name, entry in dice.items()},
        "measured_on": MEASURED_ON,
        "validation_cases": list(cases),
    }


def _dice(metrics: Any, key: str) -> float | None:
    entry = metrics.get(key) if isinstance(metrics, dict) else None
    value = entry.get("Dice") if isinstance(entry, dict) else None
    return value if fits(value, float) else None


def _case_name(file: Any) -> str:
    """``lung_006`` of the path of its reference, on whatever system it was written."""
    name = PureWindowsPath(PurePosixPath(str(file)).name).name
    return name.split(".")[0][:200]
