"""Plots of the numbers of all cases.

Boxes of a metric, what the network confuses with what, and whether it was unsure where it was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from MedSegTrainerLib.metrics.metrics import Metric
from MedSegTrainerLib.report.curves import FONT_SIZE, INK, calm, inline_svg, short

ROW_INCHES, WIDTH_INCHES = 0.34, 9.0
FEW_POINTS = 5  # fewer have no quartiles worth a box
NUMBERS_FIT = 13  # labels of a matrix whose cells are wide enough for text
CELL = "#1f5fa8"


def draw_boxes(panels: Sequence[tuple[Metric, Mapping[str, Sequence[float]]]], colors: Mapping[str, str]) -> str:
    """An ``<svg>`` with a panel for each metric: a box and the points of every structure, one below the other.

    panels: a metric and structure to values of its cases, in the metric's shown unit. The box is from the first to the
    third quartile with the median in it, the whiskers reach the last point within 1.5 of its length.
    """
    rows = len(colors)
    figure = Figure(figsize=(WIDTH_INCHES, 0.75 + ROW_INCHES * max(rows, 2)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (metric, values) in zip(axes, panels, strict=True):
        for row, (name, color) in enumerate(colors.items()):
            _draw_row(ax, row, values.get(name, ()), color)
        calm(ax)
        ax.set_xlabel(f"{metric.title}, {metric.unit}" if metric.unit else metric.title)
        ax.set_ylim(rows - 0.5, -0.5)
        all_values = [value for name in colors for value in values.get(name, ())]
        if metric.better == "higher" and not metric.unit:
            ax.set_xlim(min([0.95, *all_values]) - 0.03, 1.02)
        elif all_values:
            ax.set_xlim(left=min(0.0, *all_values))
    axes[0].set_yticks(range(rows), [short(name) for name in colors])
    return inline_svg(figure)


def draw_confusion(names: Sequence[str], shares: np.ndarray) -> str:
    """An ``<svg>`` with rows for the labels of the reference and columns for those of the prediction.

    shares: (n, n), of each row's voxels; a row of NaN has none. Numbers are percent.
    """
    count = len(names)
    side = min(9.0, 2.2 + 0.62 * count) if count <= NUMBERS_FIT else 9.0
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    FigureCanvasSVG(figure)
    ax = figure.subplots()
    for row, column in np.argwhere(shares > 0):
        share = float(shares[row, column])
        ax.add_patch(_cell(row, column, share))
        if count <= NUMBERS_FIT:
            ax.text(
                column,
                row,
                percent(share),
                ha="center",
                va="center",
                fontsize=FONT_SIZE - 1,
                color="white" if share > 0.35 else INK,
            )
    calm(ax)
    ax.grid(visible=False)
    ax.set_aspect("equal")
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_ylim(count - 0.5, -0.5)
    size = FONT_SIZE if count <= NUMBERS_FIT else 6
    ax.set_xticks(
        range(count),
        [short(name) for name in names],
        rotation=90 if count > 4 else 30,
        fontsize=size,
        ha="center" if count > 4 else "right",
    )
    ax.set_yticks(range(count), [short(name) for name in names], fontsize=size)
    ax.set_xlabel("prediction")
    ax.set_ylabel("reference")
    return inline_svg(figure)


def percent(share: float) -> str:
    """A share as percent with as many digits as a reader needs."""
    value = 100 * share
    if value >= 99.95 or value == 0:
        return f"{value:.0f}"
    if value < 0.01:
        return "<0.01"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _draw_row(ax: Any, row: int, values: Sequence[float], color: str) -> None:
    points = np.array(values, dtype=float)
    if points.size >= FEW_POINTS:
        ax.boxplot(
            [points],
            positions=[row],
            orientation="horizontal",
            widths=0.55,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": f"{color}55", "edgecolor": INK, "linewidth": 0.9},
            medianprops={"color": INK, "linewidth": 1.8},
            whiskerprops={"color": INK, "linewidth": 0.9},
            capprops={"color": INK, "linewidth": 0.9},
        )
    if points.size:
        # the same places at every run, and none on top of its neighbour in value
        jitter = 0.17 * np.sin(2.4 * np.argsort(np.argsort(points, kind="stable"), kind="stable"))
        ax.plot(points, row + jitter, "o", color=color, markersize=3, alpha=0.75, markeredgewidth=0)


def _cell(row: int, column: int, share: float) -> Patch:
    from matplotlib.patches import Rectangle

    right = row == column
    return Rectangle(
        (column - 0.47, row - 0.47),
        0.94,
        0.94,
        linewidth=0,
        facecolor=CELL if right else "#c0451c",
        alpha=min(1.0, 0.08 + 0.92 * (share if right else share**0.5)),
    )


BAR = "#0072B2"  # Okabe-Ito blue


def draw_uncertainty(document: Mapping[str, Any], case_mean_dice: Mapping[str, float | None]) -> str:
    """An ``<svg>``: share of wrong voxels by uncertainty, and the mean uncertainty of each case against its Dice.

    document: as ``UncertaintyError.to_json`` gives it.
    """
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    FigureCanvasSVG(figure)
    bars, cases = figure.subplots(1, 2)
    filled = [item for item in document["bins"] if item["voxels"]]
    bars.bar(
        [item["from"] for item in filled],
        [100 * item["wrong"] / item["voxels"] for item in filled],
        width=[item["to"] - item["from"] for item in filled],
        align="edge",
        color=BAR,
        edgecolor="none",
        alpha=0.85,
    )
    bars.set_xlabel("uncertainty of a voxel")
    bars.set_ylabel("wrong voxels, %")
    points = [
        (mean, case_mean_dice[name])
        for name, mean in document["cases"].items()
        if mean is not None and case_mean_dice.get(name) is not None
    ]
    if points:
        cases.plot(*zip(*points, strict=True), "o", color=BAR, markersize=4, alpha=0.85, markeredgewidth=0)
    cases.set_xlabel("mean uncertainty over the predicted structures")
    cases.set_ylabel("mean Dice of the case")
    for ax in (bars, cases):
        calm(ax)
        ax.title.set_color(INK)
    return inline_svg(figure)


def uncertainty_text(document: Mapping[str, Any]) -> str:
    """What the bins say, in a sentence."""
    filled = [item for item in document["bins"] if item["voxels"]]
    first, last = filled[0], filled[-1]
    rates = [percent(item["wrong"] / item["voxels"]) for item in (first, last)]
    return (
        f"Where the model was surest (up to {first['to']:g}) {rates[0]} % of the voxels are wrong, where it was least "
        f"sure (from {last['from']:g}) {rates[1]} %."
    )
