"""The document of ``metrics.json`` as one HTML page with its pictures inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.guide.remedies import Remedy, assignments
from MedSegTrainerLib.metrics.confusion import largest_confusions, row_shares
from MedSegTrainerLib.metrics.metrics import UNKNOWN
from MedSegTrainerLib.metrics.units import SHORT, display_metric
from MedSegTrainerLib.report.bland_altman import agreement, draw_agreement, draw_volumes
from MedSegTrainerLib.report.curves import draw_curves
from MedSegTrainerLib.report.formatting import hex_color, number, signed
from MedSegTrainerLib.report.likely_plot import draw_likely, likely_text, told_and_measured
from MedSegTrainerLib.report.plots import draw_boxes, draw_confusion, draw_uncertainty, percent, uncertainty_text
from MedSegTrainerLib.report.selected_cases import show_cases, worst_first
from MedSegTrainerLib.report.slice_pictures import ERROR_COLORS, ERROR_TITLES
from MedSegTrainerLib.report.summary_text import summary_sentences
from MedSegTrainerLib.report.tables import (
    all_statistics,
    box_panels,
    case_row,
    main_metrics,
    summary_row,
    volume_pairs,
)

FOLDER = Path(__file__).parent / "templates"
TEMPLATE, STYLE = FOLDER / "report.html.j2", FOLDER / "style.css.j2"
CONFUSIONS_LISTED = 8
OUTCOME_MEANINGS = {
    "missed": "the reference has the structure and the prediction does not: Dice, IoU and recall are 0, distances "
    "do not exist",
    "extra": "the prediction has a structure that the reference lacks: Dice, IoU and precision are 0, distances do "
    "not exist",
    UNKNOWN: "nobody looked for the structure in the reference: nothing is measured and the case does not count for "
    "it; where it was predicted at a voxel without label, that counts as background",
    "absent": "neither has the structure: nothing is measured and the case does not count for it",
}


def write_report(document: Mapping[str, Any], path: Path) -> None:
    """Writes the page at once; reads again the label maps and images of the cases it shows."""
    atomic.write_bytes(path, render(document).encode())


def render(document: Mapping[str, Any]) -> str:
    """The page as text, from the document that ``evaluate`` makes, with all its metrics and cases."""
    classes = [_label_class(item) for item in document["classes"]]
    colors = {item.name: hex_color(item) for item in classes}
    metrics = {key: display_metric(key, document["length"]) for key in document["metrics"]}
    panels = box_panels(document, metrics, [key for key, metric in metrics.items() if metric.has_boxes])
    selected, not_drawn = show_cases(document, classes), document.get("not_drawn")
    return fill(
        TEMPLATE,
        {"percent": percent},
        document=document,
        sentences=summary_sentences(document),
        metrics=metrics,
        main_metrics=[metrics[key] for key in main_metrics(metrics)],
        outcome_meanings={kind: text for kind, text in OUTCOME_MEANINGS.items() if kind != UNKNOWN or not_drawn},
        error_legend=[(ERROR_COLORS[kind], ERROR_TITLES[kind]) for kind in ERROR_COLORS],
        tiles=_tiles(document),
        summary=[summary_row(document, name, color, metrics) for name, color in colors.items()],
        statistics=all_statistics(document, colors, metrics),
        boxes=Markup(draw_boxes(panels, colors)) if panels and len(document["cases"]) > 1 else None,
        cases=[case_row(document, name, metrics) for name in worst_first(document["overall"]["case_mean_dice"])],
        colors=colors,
        selected_cases=selected,
        positions={case.name: position for position, case in enumerate(selected)},
        unit=SHORT[document["length"]],
        **_volumes(document, colors),
        **_confusion(document),
        **_uncertainty(document),
        **_likely(document, colors),
        curves=Markup(draw_curves(document["curves"], colors)) if document["curves"] else None,
        assignments=assignments([Remedy(**remedy) for advice in document["advice"] for remedy in advice["remedies"]]),
    )


def fill(template: Path, filters: Mapping[str, Callable[[Any], str]] | None = None, **values: Any) -> str:
    """A page from its template, with the style that all pages share as ``style``; values are escaped."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(style=Markup(STYLE.read_text(encoding="utf-8")), **values)


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
        "hd95_mm": ("Mean HD95", f"{hd95} {SHORT[document['length']]}", "surface distance where found; 0 is perfect"),
    }
    return [
        *(tile for name, tile in means.items() if name in document["metrics"]),
        ("Found", f"{overall['found']} of {expected}", "structures of the references, in all cases together"),
        ("Extra", str(overall["extra"]), "structures predicted where the reference has none"),
        ("Cases", str(len(document["cases"])), "predictions compared with a reference"),
    ]


def _volumes(document: Mapping[str, Any], colors: Mapping[str, str]) -> dict[str, Any]:
    """Plots of the volumes and a row for each structure that has limits of agreement."""
    metric = display_metric("volume_ml", document["length"])
    pairs = volume_pairs(document)
    if "volume_ml" not in document["metrics"] or not any(pairs.values()):
        return {"volumes": None, "agreement": None, "agreement_rows": [], "volume": metric}
    drawn = draw_agreement(pairs, colors, metric.unit)
    decimals = metric.decimals + (1 if metric.decimals else 0)
    agreements = {name: agreement(values) for name, values in pairs.items()}
    return {
        "volumes": Markup(draw_volumes(pairs, colors, metric.unit)),
        "agreement": Markup(drawn) if drawn else None,
        "agreement_rows": [
            (name, colors[name], it.count, *(signed(value, decimals) for value in (it.bias, it.low, it.high)))
            for name, it in agreements.items()
            if it is not None
        ],
        "volume": metric,
    }


def _confusion(document: Mapping[str, Any]) -> dict[str, Any]:
    table = document["confusion"]
    if table is None or len(table["labels"]) < 2:  # classes that overlap have none
        return {"confusion": None, "confusions": []}
    return {
        "confusion": Markup(draw_confusion(table["labels"], row_shares(table))),
        "confusions": largest_confusions(table, CONFUSIONS_LISTED),
    }


def _likely(document: Mapping[str, Any], colors: Mapping[str, str]) -> dict[str, Any]:
    told = told_and_measured(document)
    if not told:
        return {"likely": None, "likely_text": ""}
    return {"likely": Markup(draw_likely(told, colors)), "likely_text": likely_text(told)}


def _uncertainty(document: Mapping[str, Any]) -> dict[str, Any]:
    uncertainty = document["uncertainty"]
    if uncertainty is None:
        return {"uncertainty": None, "uncertainty_text": ""}
    return {
        "uncertainty": Markup(draw_uncertainty(uncertainty, document["overall"]["case_mean_dice"])),
        "uncertainty_text": uncertainty_text(uncertainty),
    }
