"""Dice over drawn slices of every ranking as a PNG."""

from __future__ import annotations

import io
import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from MedSegTrainerLib import atomic

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")  # Okabe-Ito
INK = "#333333"
FONT_SIZE = 10
Curve = Sequence[Mapping[str, Any]]  # points with ``slices`` and ``mean_dice``


def mean_curve(draws: Sequence[Curve]) -> list[tuple[float, float]]:
    """Slices and Dice, the mean of the draws round by round."""
    return [
        (
            statistics.fmean(point["slices"] for point in points),
            statistics.fmean(point["mean_dice"] for point in points),
        )
        for points in zip(*draws, strict=True)
    ]


def slices_to_reach(draws: Sequence[Curve], target: float) -> float | None:
    """Slices at which the mean curve first gets to a Dice, between two rounds in proportion; None where it does not."""
    curve = mean_curve(draws)
    if curve[0][1] >= target:
        return curve[0][0]
    for (before, low), (after, high) in itertools.pairwise(curve):
        if high >= target:
            return before + (after - before) * (target - low) / (high - low)
    return None


def write_figure(section: Mapping[str, Any], path: Path) -> None:
    """The mean of the draws as a line, each draw as a thin one. ``section`` is that of ``loop.section``; raises
    StorageError."""
    figure = Figure(figsize=(7.6, 5.0), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for index, (arm, draws) in enumerate(section["arms"].items()):
        color = COLORS[index % len(COLORS)]
        for curve in draws:
            points = [(point["slices"], point["mean_dice"]) for point in curve]
            axes.plot(*zip(*points, strict=True), color=color, linewidth=0.7, alpha=0.3)
        mean = mean_curve(draws)
        axes.plot(*zip(*mean, strict=True), color=color, linewidth=2, marker="o", markersize=4, label=arm)
    axes.axhline(section["target"], color=INK, linewidth=0.9, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(
        f"slices drawn, beside {section['whole_cases']} whole cases; {section['effort']} of training after each "
        f"{section['slices_a_round']}",
        fontsize=FONT_SIZE,
    )
    axes.set_ylabel(f"mean Dice, {section['held_out']} held-out cases", fontsize=FONT_SIZE)
    axes.set_title(f"{section['data']}: {section['draws']} draws", fontsize=FONT_SIZE + 1, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=FONT_SIZE - 1, loc="lower right")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    atomic.write_bytes(path, stream.getvalue())
