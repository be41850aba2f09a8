"""Pictures of a training and of a range test.

Dice and losses over minutes for the report, everything over epochs as a PNG, loss over learning rate.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, LoggedMetric

INK = "#010203"  # replaced by the colour of the page's text, so that the picture follows light and dark
VALIDATION = "#D55E00"  # Okabe-Ito vermillion, told apart from black and white with every kind of colour vision
FONT_SIZE = 9
DPI = 100
SUBPLOT_LAYOUT = {"left": 0.07, "right": 0.98, "bottom": 0.06, "top": 0.9, "wspace": 0.13, "hspace": 0.36}
LEGEND_ROWS, LEGEND_COLUMNS, NAME_LENGTH = 13, 3, 24

Points = Sequence[Mapping[str, Any]]
Values = Sequence[float | None]


def draw_curves(points: Points, colors: Mapping[str, str]) -> str:
    """An ``<svg>`` element that takes its text colour from the page.

    points: one a validation, with ``minutes``, ``mean_dice``, ``dice`` (class to value), and where they are known
    ``train_loss`` and ``val_loss``.
    colors: class to ``#rrggbb``; the mean over the classes is drawn in the text colour.
    """
    minutes = _values(points, "minutes")
    with_loss = any(value is not None for key in ("train_loss", "val_loss") for value in _values(points, key))
    figure = Figure(figsize=(9.0, 4.6 if with_loss else 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    ratios = [5, 2] if with_loss else [1]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    _draw_dice(axes[0], minutes, points, colors)
    axes[0].set_ylabel("Dice")
    if with_loss:
        _draw_loss(axes[1], minutes, points)
        axes[1].set_ylabel("loss")
    for ax in axes:
        calm(ax)
    axes[-1].set_xlabel("minutes of training")
    return inline_svg(figure)


def write_curves(points: Points, colors: Mapping[str, str], path: Path) -> None:
    """Replaces a PNG at once: losses, Dice, and each logged metric that has a chart, over epochs; minutes on top.

    points: one an epoch, as ``CurvePoints.read`` gives them. colors: class to ``#rrggbb``. Raises StorageError.
    """
    charts = {name: metric for name, metric in LOGGED_METRICS.items() if metric.chart}
    rows = -(-(len(charts) + 3) // 2)  # with losses, Dice, and the names of the classes
    size = (11.0, 8.0 * rows / 3)  # matplotlib's own layout takes as long as the drawing
    figure = Figure(figsize=size, facecolor="white")
    FigureCanvasAgg(figure)
    loss, dice, *others = figure.subplots(rows, 2, sharex=True, gridspec_kw=SUBPLOT_LAYOUT).flat
    epochs = _values(points, "epoch")
    _draw_loss(loss, epochs, points)
    _draw_dice(dice, epochs, points, colors)
    titles = {loss: "Loss", dice: "Validation Dice"}
    for ax, (name, metric) in zip(others, charts.items(), strict=False):
        _draw_metric(ax, epochs, _values(points, name), metric)
        titles[ax] = metric.chart
    for ax, title in titles.items():
        calm(ax)
        ax.set_title(title, fontsize=FONT_SIZE + 1, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    for ax in list(titles)[-2:]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("epoch")
    for ax in others[len(charts) + 1 :]:
        ax.set_axis_off()
    for ax in (loss, dice):
        _minutes_on_top(ax, points)
    if points:
        margin = max(0.5, 0.02 * len(points))
        loss.set_xlim(points[0]["epoch"] - margin, points[-1]["epoch"] + margin)
    _legend(others[len(charts)], colors)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    atomic.write_bytes(path, stream.getvalue())


def _values(points: Points, key: str) -> list[float | None]:
    return [point.get(key) for point in points]


def _draw_dice(ax: Axes, across: Values, points: Points, colors: Mapping[str, str]) -> None:
    for name, color in colors.items():
        _line(ax, across, [(point.get("dice") or {}).get(name) for point in points], color, 1.3)
    if len(colors) != 1:
        _line(ax, across, _values(points, "mean_dice"), INK, 2.2)
    ax.set_ylim(0, 1.02)


def _draw_loss(ax: Axes, across: Values, points: Points) -> None:
    curves = {"training": ("train_loss", INK), "validation": ("val_loss", VALIDATION)}
    for name, (key, color) in curves.items():
        _line(ax, across, _values(points, key), color, 1.5, label=f"{name} loss")
    if ax.lines:
        ax.legend(frameon=False, fontsize=FONT_SIZE, labelcolor=INK, loc="upper right")
    _log_scale(ax, [*_values(points, "train_loss"), *_values(points, "val_loss")], 50)


def _draw_metric(ax: Axes, across: Values, values: Values, metric: LoggedMetric) -> None:
    _line(ax, across, values, INK, 2.0 if metric.is_share else 1.3)
    if metric.is_share:
        ax.set_ylim(0, 1.02)
    if metric.log_from is not None:
        _log_scale(ax, values, metric.log_from)


def _line(ax: Axes, across: Values, values: Values, color: str, width: float, label: str = "") -> None:
    """Through the points that are known: a validation does not follow on every epoch."""
    pairs = zip(across, values, strict=True)
    finite = [(x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(y)]
    if finite:
        style: dict[str, Any] = {"marker": "o" if len(finite) < 40 else "", "markersize": width * 2, "label": label}
        ax.plot(*zip(*finite, strict=True), color=color, linewidth=width, **style)


def _log_scale(ax: Axes, values: Values, ratio: float) -> None:
    """A logarithmic axis where the largest value is more than ``ratio`` times the smallest."""
    positive = [value for value in values if value is not None and math.isfinite(value) and value > 0]
    if positive and max(positive) > ratio * min(positive):
        ax.set_yscale("log")


def _minutes_on_top(ax: Axes, points: Points) -> None:
    timed = [(point["minutes"], point["epoch"]) for point in points if point.get("minutes")]
    if not timed:
        return
    minutes, epochs = zip((0.0, 0.0), *timed, strict=True)
    ticks = [tick for tick in MaxNLocator(nbins=6).tick_values(0, minutes[-1]) if 0 <= tick <= minutes[-1]]
    top = ax.secondary_xaxis("top")
    top.set_xticks(np.interp(ticks, minutes, epochs), [f"{tick:g}" for tick in ticks])
    top.set_xlabel("minutes", color=INK, fontsize=FONT_SIZE)
    top.tick_params(colors=INK, labelsize=FONT_SIZE)
    top.spines["top"].set_visible(False)


def _legend(ax: Axes, colors: Mapping[str, str]) -> None:
    """The names of the classes in a panel of their own; where they are too many, the first of them."""
    ax.set_axis_off()
    lines = [(name, color, 1.3) for name, color in colors.items()]
    if len(lines) != 1:
        lines.insert(0, ("mean of the classes", INK, 2.2))
    room = LEGEND_ROWS * LEGEND_COLUMNS
    if len(lines) > room:
        lines = [*lines[: room - 1], (f"and {len(lines) - room + 1} more", "none", 0.0)]
    handles = [Line2D([], [], color=color, linewidth=width) for _, color, width in lines]
    ax.legend(
        handles,
        [short(name) for name, _, _ in lines],
        ncols=-(-len(lines) // LEGEND_ROWS),
        frameon=False,
        fontsize=FONT_SIZE,
        loc="upper left",
        title="Validation Dice",
        title_fontsize=FONT_SIZE,
        alignment="left",
    )


def short(name: str) -> str:
    """A name that fits beside a plot; a dollar sign would begin a formula."""
    return (name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}...").replace("$", r"\$")


def calm(ax: Axes) -> None:
    """No box, a faint grid, everything in the ink of the page."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    ax.tick_params(which="both", colors=INK, labelsize=FONT_SIZE)
    ax.grid(color=INK, alpha=0.12, linewidth=0.8)
    ax.xaxis.label.set(color=INK, fontsize=FONT_SIZE)
    ax.yaxis.label.set(color=INK, fontsize=FONT_SIZE)


def inline_svg(figure: Figure) -> str:
    """An ``<svg>`` element as wide as its place, with the page's text colour instead of ``INK``."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*"', r"\1", svg, count=2)


MARK = "#d1495b"
RATE_DPI = 110


def write_rate_curve(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float | None, path: Path
) -> None:
    """Replaces a PNG at once: loss of each step and its average over the rate, the suggested rate marked.

    Values that are not finite are left out. Raises StorageError.
    """
    figure = Figure(figsize=(8.0, 4.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.plot(rates, losses, color="#9aa5b1", linewidth=1.0, label="loss of a step")
    ax.plot(rates, smoothed, color="black", linewidth=2.0, label="smoothed")
    ax.set_xscale("log")
    ax.set_ylim(*_limits(losses, smoothed))
    if suggestion is not None:
        height = float(np.interp(np.log(suggestion), np.log(rates), smoothed))
        ax.axvline(suggestion, color=MARK, linewidth=1.3, linestyle="--")
        ax.plot([suggestion], [height], "o", color=MARK, label=f"suggested: {suggestion:.2g}")
        ax.annotate(
            f"{suggestion:.2g}",
            (suggestion, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(5, -4),
            textcoords="offset points",
            color=MARK,
            fontsize=13,
            fontweight="bold",
            va="top",
        )
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    ax.set_title("Learning rate range test", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.2)
    ax.legend(frameon=False, loc="lower left")
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_with(path, lambda stream: figure.savefig(stream, format="png", dpi=RATE_DPI))


def _limits(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """From below the lowest loss to somewhat above where the curve began: an explosion would flatten all else."""
    finite = np.array([value for value in losses if np.isfinite(value)] or [0.0, 1.0])
    low, start = float(finite.min()), float(finite[: max(1, len(finite) // 4)].max())
    steady = [value for value in smoothed if np.isfinite(value)]
    high = min(float(finite.max()), start + 0.6 * (start - low), max([*steady, start]) * 1.05)
    margin = 0.06 * max(high - low, 1e-6)
    return low - margin, high + 2 * margin
