"""Dice over minutes of both sides as a PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from MedSegTrainerLib import atomic

OURS = ("#0072B2", "#56B4E9", "#009E73")  # Okabe-Ito colours, told apart with every kind of colour vision
THEIRS = ("#D55E00", "#E69F00", "#CC79A7")
INK = "#333333"
LOWEST_SHARE = 0.5  # of the best Dice: what lies below is left out, so that the differences at the end are seen
FONT_SIZE = 10


def write_figure(section: Mapping[str, Any], path: Path) -> None:
    """Mean Dice of the held-out cases over minutes since each process began: every validation as a point, what each
    side reached in the end as a ring. ``section`` is that of ``dice.section``; raises StorageError."""
    figure = Figure(figsize=(7.6, 5.0), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    reached = [one["mean_dice"] for one in (*section["ours"], *section["theirs"])]
    best = max(reached)
    for colors, key in ((OURS, "ours"), (THEIRS, "theirs")):
        for index, one in enumerate(section[key]):
            _draw(axes, one, colors[index % len(colors)])
    headline = section["headline"]
    axes.axhline(headline["dice"], color=INK, linewidth=0.9, linestyle=":")
    axes.set_xlim(0, None)
    axes.set_ylim(min(LOWEST_SHARE * best, max(0.0, min(reached) - 0.03)), min(1.0, best + 0.04))
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axes.set_xlabel(f"minutes, {section['machine_words']}", fontsize=FONT_SIZE)
    axes.set_ylabel(f"mean Dice, {section['held_out']} held-out cases", fontsize=FONT_SIZE)
    axes.set_title(f"{section['data']}: {section['train']} cases to train on", fontsize=FONT_SIZE + 1, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.legend(frameon=False, fontsize=FONT_SIZE - 1, loc="outside lower left")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    atomic.write_bytes(path, stream.getvalue())


def _draw(axes: Axes, one: Mapping[str, Any], color: str) -> None:
    points = [(point["minutes"], point["mean_dice"]) for point in one["curve"]]
    axes.plot(*zip(*points, strict=True), color=color, linewidth=1.6, marker="o", markersize=3)
    axes.plot(
        one["minutes"],
        one["mean_dice"],
        color=color,
        marker="o",
        markersize=8,
        markerfacecolor="white",
        markeredgewidth=1.8,
        linestyle="-",
        linewidth=1.6,
        label=f"{one['name']}: {one['mean_dice']:.3f} after {one['minutes']:.1f} min",
    )
