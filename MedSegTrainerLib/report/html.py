"""The document of ``metrics.json`` as one HTML page with its pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.metrics import METRICS, Values, outcome
from MedSegTrainerLib.remedies import Remedy, assignments
from MedSegTrainerLib.report.curves import draw_curves
from MedSegTrainerLib.report.pictures import ERROR_COLORS, ERROR_TITLES, draw_case, read_case

FOLDER = Path(__file__).parent
TEMPLATE, STYLE = FOLDER / "report.html.j2", FOLDER / "style.css.j2"
DASH = "\N{EN DASH}"
CASES_SHOWN = 6
OUTCOME_TITLES = {"missed": "missed", "extra": "extra", "absent": DASH, "found": DASH}
OUTCOME_MEANINGS = {
    "missed": "the reference has the structure and the prediction does not: Dice, IoU and recall are 0, distances "
    "do not exist",
    "extra": "the prediction has a structure that the reference lacks: Dice, IoU and precision are 0, distances do "
    "not exist",
    "absent": "neither has the structure: nothing is measured and the case does not count for it",
}


@dataclass(frozen=True, kw_only=True)
class ShownCase:
    """A case with pictures. ``role`` says why it was chosen, ``rows`` are (class, colour, Dice as text)."""

    name: str
    role: str
    mean_dice: str
    picture: str
    rows: list[tuple[str, str, str]]


def write_report(document: Mapping[str, Any], path: Path) -> None:
    """Writes the page at once; reads again the label maps and images of the cases it shows."""
    atomic.write_bytes(path, render(document).encode())


def render(document: Mapping[str, Any]) -> str:
    """The page as text, from the document that ``evaluate`` returns."""
    classes = [_label_class(item) for item in document["classes"]]
    colors = {item.name: hex_color(item) for item in classes}
    return fill(
        TEMPLATE,
        document=document,
        metrics={name: METRICS[name] for name in document["metrics"]},
        outcome_meanings=OUTCOME_MEANINGS,
        error_legend=[(ERROR_COLORS[kind], ERROR_TITLES[kind]) for kind in ERROR_COLORS],
        tiles=_tiles(document),
        summary=[_summary_row(document, item.name, colors[item.name]) for item in classes],
        cases=[_case_row(name, document) for name in _worst_first(document["overall"]["case_mean_dice"])],
        colors=colors,
        shown=_shown_cases(document, classes),
        curves=Markup(draw_curves(document["curves"], colors)) if document["curves"] else None,
        assignments=assignments([Remedy(**remedy) for advice in document["advice"] for remedy in advice["remedies"]]),
    )


def fill(template: Path, filters: Mapping[str, Callable[[Any], str]] | None = None, **values: Any) -> str:
    """A page from its template, with the style that all pages share as ``style``; values are escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters or {})
    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(style=Markup(STYLE.read_text(encoding="utf-8")), **values)


def noteworthy(case_mean_dice: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """At most six cases by mean Dice, worst first, each with why: three worst, the median and two best."""
    ordered = [name for name in _worst_first(case_mean_dice) if case_mean_dice[name] is not None]
    if len(ordered) == 1:
        return [(ordered[0], "the only case")]
    last, middle = len(ordered) - 1, (len(ordered) - 1) // 2
    chosen = range(last + 1) if last < CASES_SHOWN else sorted({0, 1, 2, middle, last - 1, last})
    roles = {middle: "median", last: "best", 0: "worst"}  # a case that is several of these: the last named counts
    return [(ordered[rank], roles.get(rank, _ordinal(rank, last))) for rank in chosen]


def _worst_first(case_mean_dice: Mapping[str, float | None]) -> list[str]:
    """Cases by mean Dice; those without one at the end."""
    return sorted(case_mean_dice, key=lambda name: (case_mean_dice[name] is None, case_mean_dice[name] or 0.0))


def number(value: float | None, decimals: int) -> str:
    """Text of a number, a dash for one that is not defined."""
    return DASH if value is None else f"{value:.{decimals}f}"


def hex_color(item: LabelClass) -> str:
    return "#{:02x}{:02x}{:02x}".format(*item.color)


def _ordinal(rank: int, last: int) -> str:
    names = {1: "second worst", 2: "third worst", last - 1: "second best"}
    return names.get(rank, f"{rank + 1} of {last + 1}, from the worst")


def _label_class(item: Mapping[str, Any]) -> LabelClass:
    red, green, blue = item["color"]
    return LabelClass(value=item["value"], name=item["name"], color=(red, green, blue))


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The headline: (title, number, remark)."""
    overall, summary = document["overall"], document["summary"]
    expected = overall["found"] + overall["missed"]
    distances = [item["hd95_mm"]["mean"] for item in summary.values() if item["hd95_mm"]["mean"] is not None]
    hd95 = number(float(np.mean(distances)) if distances else None, 2)
    count = sum(item["dice"]["mean"] is not None for item in summary.values())
    structures = f"{count} structure{'' if count == 1 else 's'}"
    means = {
        "dice": ("Mean Dice", number(overall["mean_dice"], 3), f"1 is perfect; mean over {structures}"),
        "hd95_mm": ("Mean HD95", f"{hd95} mm", "surface distance where found; 0 is perfect"),
    }
    return [
        *(tile for name, tile in means.items() if name in document["metrics"]),
        ("Found", f"{overall['found']} of {expected}", "structures of the references, in all cases together"),
        ("Extra", str(overall["extra"]), "structures predicted where the reference has none"),
        ("Cases", str(len(document["cases"])), "predictions compared with a reference"),
    ]


def _summary_row(document: Mapping[str, Any], name: str, color: str) -> dict[str, Any]:
    cases = [case[name] for case in document["cases"].values()]
    outcomes = [outcome(values) for values in cases]
    return {
        "name": name,
        "color": color,
        "dots": [values["dice"] for values in cases if values["dice"] is not None],
        "mean": document["summary"][name]["dice"]["mean"],
        "found": outcomes.count("found"),
        "expected": outcomes.count("found") + outcomes.count("missed"),
        "missed": outcomes.count("missed"),
        "extra": outcomes.count("extra"),
        "cells": [_summary_cell(document["summary"][name][metric], metric) for metric in document["metrics"]],
    }


def _summary_cell(values: Values, metric: str) -> dict[str, str | bool]:
    """Texts; ``spread`` says whether there are several values, so that median and range mean something."""
    decimals = METRICS[metric].decimals
    texts = {key: number(values[key], decimals) for key in ("mean", "std", "median", "min", "max")}
    return {**texts, "spread": values["std"] is not None}


def _case_row(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "mean_dice": number(document["overall"]["case_mean_dice"][name], 3),
        "cells": [_case_cell(values, document["metrics"]) for values in document["cases"][name].values()],
    }


def _case_cell(values: Values, metrics: Sequence[str]) -> dict[str, Any]:
    """Texts in the order of the metrics; where a number is not defined, why."""
    kind = outcome(values)
    texts = [
        OUTCOME_TITLES[kind] if values[key] is None else number(values[key], METRICS[key].decimals) for key in metrics
    ]
    return {"outcome": kind, "texts": texts}


def _shown_cases(document: Mapping[str, Any], classes: Sequence[LabelClass]) -> list[ShownCase]:
    shown = []
    value_of = {item.name: item.value for item in classes}
    for name, role in noteworthy(document["overall"]["case_mean_dice"]):
        case = read_case(document["files"][name], list(value_of.values()), document.get("ignore_label"), value_of)
        values = document["cases"][name]
        present = [item for item in classes if values[item.name]["dice"] is not None]
        shown.append(
            ShownCase(
                name=name,
                role=role,
                mean_dice=number(document["overall"]["case_mean_dice"][name], 3),
                picture=base64.b64encode(draw_case(case, classes)).decode(),
                rows=[(item.name, hex_color(item), number(values[item.name]["dice"], 3)) for item in present],
            )
        )
    return shown
