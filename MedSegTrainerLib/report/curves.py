"""The picture of a training: validation Dice of each class, and the training loss, over minutes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#010203"  # replaced by the colour of the page's text, so that the picture follows light and dark
FONT_SIZE = 9


def draw_curves(points: Sequence[Mapping[str, Any]], colors: Mapping[str, str]) -> str:
    """An ``<svg>`` element that takes its text colour from the page.

    points: one a validation, with ``minutes``, ``mean_dice``, ``dice`` (class to value) and ``train_loss``.
    colors: class to ``#rrggbb``; the mean over the classes is drawn in the text colour.
    """
    with_loss = any(point.get("train_loss") is not None for point in points)
    figure = Figure(figsize=(9.0, 4.2 if with_loss else 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(2 if with_loss else 1, 1, sharex=True, squeeze=False, height_ratios=[3, 1][: 1 + with_loss])
    dice = axes[0, 0]
    for name, color in colors.items():
        _line(dice, points, [point["dice"].get(name) for point in points], color, 1.3)
    _line(dice, points, [point["mean_dice"] for point in points], INK, 2.2)
    dice.set_ylim(0, 1.02)
    dice.set_ylabel("Dice")
    if with_loss:
        _line(axes[1, 0], points, [point.get("train_loss") for point in points], INK, 1.3)
        axes[1, 0].set_ylabel("training loss")
    for ax in axes[:, 0]:
        _calm(ax)
    axes[-1, 0].set_xlabel("minutes of training")
    return _inline_svg(figure)


def _line(
    ax: Axes, points: Sequence[Mapping[str, Any]], values: Sequence[float | None], color: str, width: float
) -> None:
    known = [(point["minutes"], value) for point, value in zip(points, values, strict=True) if value is not None]
    if known:
        marker = "o" if len(known) < 40 else ""
        ax.plot(*zip(*known, strict=True), color=color, linewidth=width, marker=marker, markersize=width * 2)


def _calm(ax: Axes) -> None:
    """No box, a faint grid, everything in the ink of the page."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    ax.tick_params(colors=INK, labelsize=FONT_SIZE)
    ax.grid(color=INK, alpha=0.12, linewidth=0.8)
    ax.xaxis.label.set(color=INK, fontsize=FONT_SIZE)
    ax.yaxis.label.set(color=INK, fontsize=FONT_SIZE)


def _inline_svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*"', r"\1", svg, count=2)
