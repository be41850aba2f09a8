"""The document of ``compare.json`` as one HTML page with its plots inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from MedSegTrainerLib.metrics.metrics import Metric
from MedSegTrainerLib.metrics.units import SHORT, Length, display_metric, display_results
from MedSegTrainerLib.report.curves import FONT_SIZE, INK, calm, inline_svg
from MedSegTrainerLib.report.evaluation_page import fill
from MedSegTrainerLib.report.formatting import DASH, number, signed

TEMPLATE = Path(__file__).parent / "templates" / "comparison.html.j2"
COLORS = {"better": "#0072B2", "worse": "#D55E00", "equal": "#8A8A8A"}  # Okabe-Ito blue and vermillion, and grey
ALL = "all structures"
PLOTS_SHOWN = 12
CHANGES_SHOWN = 12


def render(document: Mapping[str, Any]) -> str:
    """The page as text, from the document that ``compare`` returns. Its first metric is the one that is drawn."""
    length: Length = document["length"]
    metrics = {name: display_metric(name, length) for name in document["metrics"]}
    results = {name: display_results(document, name) for name in metrics}
    main, metric = results[document["metrics"][0]], metrics[document["metrics"][0]]
    return fill(
        TEMPLATE,
        document=document,
        metrics=metrics,
        tables={name: _rows(results[name], metrics[name]) for name in metrics},
        tiles=_tiles(document, main["overall"], metric),
        plots=_plots(main, metric),
        worst=_changes(main, metric, "worse"),
        best=_changes(main, metric, "better"),
        colors=COLORS,
        swatches={item["name"]: "#{:02x}{:02x}{:02x}".format(*item["color"]) for item in document["classes"]},
        main=metric,
        unit=SHORT[length],
        all_structures=ALL,
    )


def p_text(value: float | None) -> str:
    if value is None:
        return DASH
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def by_name(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The results by the name to show; the mean over the classes first where there are several."""
    overall = {ALL: results["overall"]} if len(results["classes"]) > 1 else {}
    return {**overall, **results["classes"]}


def interval_text(result: Mapping[str, Any], decimals: int) -> str:
    if result["low"] is None:
        return DASH
    return f"{signed(result['low'], decimals)} to {signed(result['high'], decimals)}"


def _rows(results: Mapping[str, Any], metric: Metric) -> list[dict[str, Any]]:
    decimals = metric.decimals + 1  # differences are smaller than what differs
    return [
        {
            "name": name,
            "n": result["n"],
            "left_out": result["left_out"],
            "a": number(result["mean_a"], decimals),
            "b": number(result["mean_b"], decimals),
            "difference": signed(result["mean"], decimals),
            "median": signed(result["median"], decimals),
            "interval": interval_text(result, decimals),
            "better": result["better"],
            "worse": result["worse"],
            "equal": result["equal"],
            "wilcoxon": p_text(result["p_wilcoxon"]),
            "wilcoxon_holm": p_text(result["p_wilcoxon_holm"]),
            "t": p_text(result["p_t"]),
            "t_holm": p_text(result["p_t_holm"]),
            "rank_biserial": signed(result["rank_biserial"], 2),
            "dz": signed(result["cohen_dz"], 2),
            "verdict": result["verdict"],
        }
        for name, result in by_name(results).items()
    ]


def _tiles(document: Mapping[str, Any], result: Mapping[str, Any], metric: Metric) -> list[tuple[str, str, str]]:
    """The headline: (title, number, remark)."""
    decimals, unit = metric.decimals + 1, f" {metric.unit}".rstrip()
    interval = interval_text(result, decimals)
    return [
        (f"{metric.title}, A", number(result["mean_a"], decimals) + unit, document["a"]["name"]),
        (f"{metric.title}, B", number(result["mean_b"], decimals) + unit, document["b"]["name"]),
        ("B minus A", signed(result["mean"], decimals) + unit, f"95 % interval {interval}; {metric.better} is better"),
        ("Cases better in B", f"{result['better']} of {result['n']}", f"worse in {result['worse']}"),
        ("Verdict", result["verdict"], f"Wilcoxon p {p_text(result['p_wilcoxon'])}, by the means over structures"),
    ]


def _changes(results: Mapping[str, Any], metric: Metric, change: str) -> list[dict[str, str]]:
    """The cases and structures that changed most in one direction."""
    decimals = metric.decimals + 1
    changes = [
        (abs(item["difference"]), name, item)
        for name, result in results["classes"].items()
        for item in result["cases"]
        if item["change"] == change
    ]
    changes.sort(key=lambda entry: -entry[0])
    return [
        {
            "case": item["case"],
            "class": name,
            "a": number(item["a"], decimals),
            "b": number(item["b"], decimals),
            "difference": signed(item["difference"], decimals),
        }
        for _, name, item in changes[:CHANGES_SHOWN]
    ]


def _plots(results: Mapping[str, Any], metric: Metric) -> list[tuple[str, Markup]]:
    """Name and drawing; of many structures those that changed most on average."""
    named = by_name(results)
    measured = [name for name in named if named[name]["n"]]
    ranked = sorted(measured, key=lambda name: (name != ALL, -abs(named[name]["mean"])))[:PLOTS_SHOWN]
    chosen = [name for name in measured if name in ranked]
    title = metric.title + (f", {metric.unit}" if metric.unit else "")
    return [(name, Markup(draw_pairs(named[name], title))) for name in chosen]


def draw_pairs(result: Mapping[str, Any], title: str) -> str:
    """An ``<svg>`` element: a line from A to B for each case, and the differences beside it, the greatest gain first.

    result: of one class and metric, as in ``compare.json``, with one case at least. title: of the number's axis.
    """
    figure = Figure(figsize=(9.0, 2.9), layout="constrained")
    FigureCanvasSVG(figure)
    lines, bars = figure.subplots(1, 2, width_ratios=[2, 5])
    _draw_lines(lines, result["cases"])
    lines.set_ylabel(title)
    _draw_bars(bars, result)
    bars.set_ylabel("B minus A")
    bars.set_xlabel(f"{result['n']} case{'' if result['n'] == 1 else 's'}, from the greatest gain to the greatest loss")
    for ax in (lines, bars):
        calm(ax)
    lines.set_xticks([0, 1], ["A", "B"])
    bars.set_xticks([])
    return inline_svg(figure)


def _draw_lines(ax: Axes, cases: Sequence[Mapping[str, Any]]) -> None:
    for item in cases:
        ax.plot(
            [0, 1],
            [item["a"], item["b"]],
            color=COLORS[item["change"]],
            marker="o",
            markersize=3,
            linewidth=1,
            alpha=0.75,
        )
    ax.set_xlim(-0.25, 1.25)
    ax.margins(y=0.08)


def _draw_bars(ax: Axes, result: Mapping[str, Any]) -> None:
    """The mean is a line across, its interval a band."""
    cases = result["cases"]
    ax.bar(
        range(len(cases)),
        [item["difference"] for item in cases],
        width=0.8,
        color=[COLORS[item["change"]] for item in cases],
    )
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.axhline(result["mean"], color=INK, linewidth=1.3, linestyle="--")
    if result["low"] is not None:
        ax.axhspan(result["low"], result["high"], color=INK, alpha=0.12, linewidth=0)
    mean = f"mean {signed(result['mean'], 4)}"
    ax.set_title(mean, fontsize=FONT_SIZE, color=INK, loc="right")
