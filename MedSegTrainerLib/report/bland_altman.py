"""Volumes of prediction and reference against each other, and how far they agree (Bland and Altman)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from MedSegTrainerLib.report.curves import FONT_SIZE, INK, calm, inline_svg, short

FEWEST = 3  # pairs for limits of agreement; of two they say nothing
COLUMNS = 2
PLOTS_SHOWN = 8  # structures with a plot of their own, those with the largest bias
NARROW_RANGE = 0.5  # smallest to largest volume from which the axes need not begin at 0
WIDE_RANGE = 30  # largest to smallest volume from which axes are logarithmic
LIMIT_WIDTH = 1.96  # standard deviations: 95 % of differences that are normally distributed

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """bias: mean of prediction minus reference; low, high: its limits of agreement. All in the unit of the volumes."""

    count: int
    bias: float
    low: float
    high: float


def agreement(pairs: Pairs) -> Agreement | None:
    """Bias and 95 % limits of agreement of (reference, prediction); None for fewer than three.

    limits = mean +- 1.96 standard deviations (n - 1) of the differences.
    Source: Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8.
    """
    if len(pairs) < FEWEST:
        return None
    differences = np.array([predicted - expected for expected, predicted in pairs])
    bias, std = float(differences.mean()), float(differences.std(ddof=1))
    low, high = bias - LIMIT_WIDTH * std, bias + LIMIT_WIDTH * std
    return Agreement(count=len(pairs), bias=bias, low=low, high=high)


def draw_volumes(volumes: Mapping[str, Pairs], colors: Mapping[str, str], unit: str) -> str:
    """An ``<svg>``: every structure of every case with its reference volume across and its predicted one upwards."""
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    FigureCanvasSVG(figure)
    ax = figure.subplots()
    positive = [value for pairs in volumes.values() for pair in pairs for value in pair if value > 0]
    is_wide = bool(positive) and max(positive) > WIDE_RANGE * min(positive)
    lowest = min(positive, default=1.0)
    floor = 0.7 * lowest if is_wide else 0.9 * lowest if lowest > NARROW_RANGE * max(positive, default=1.0) else 0.0
    top = max(positive, default=1.0) * (1.4 if is_wide else 1.05)
    for name, pairs in volumes.items():
        if pairs:
            across, up = np.array(pairs).clip(floor).T
            ax.plot(across, up, "o", color=colors[name], markersize=4, alpha=0.8, markeredgewidth=0)
    ax.plot([floor, top], [floor, top], color=INK, linewidth=0.9, linestyle="--")
    if is_wide:
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlim(floor, top)
    ax.set_ylim(floor, top)
    ax.set_aspect("equal")
    calm(ax)
    ax.set_xlabel(f"reference, {unit}")
    ax.set_ylabel(f"prediction, {unit}")
    return inline_svg(figure)


def draw_agreement(volumes: Mapping[str, Pairs], colors: Mapping[str, str], unit: str) -> str | None:
    """An ``<svg>`` with a Bland-Altman plot for each structure that has three pairs; None without any.

    Across is the mean of both volumes, upwards prediction minus reference; lines are bias and limits. Of many
    structures those are shown whose bias is the largest share of their volume.
    """
    chosen = most_biased(volumes)
    if not chosen:
        return None
    rows = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(9.0, 2.7 * rows), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax, name in zip(axes, chosen, strict=False):
        _draw_one(ax, volumes[name], colors[name])
        ax.set_title(short(name), fontsize=FONT_SIZE + 1, color=INK, loc="left")
        ax.set_xlabel(f"mean of both, {unit}")
        ax.set_ylabel(f"difference, {unit}")
    for ax in axes[len(chosen) :]:
        ax.set_axis_off()
    return inline_svg(figure)


def most_biased(volumes: Mapping[str, Pairs]) -> list[str]:
    """The structures that get a plot, in their own order."""
    agreements = {name: agreement(pairs) for name, pairs in volumes.items()}
    shares = {
        name: abs(it.bias) / max(float(np.mean(volumes[name])), 1e-9)
        for name, it in agreements.items()
        if it is not None
    }
    ranked = sorted(shares, key=lambda name: -shares[name])[:PLOTS_SHOWN]
    return [name for name in volumes if name in ranked]


def _draw_one(ax: Axes, pairs: Pairs, color: str) -> None:
    limits = agreement(pairs)
    assert limits is not None  # chosen for having one
    values = np.array(pairs)
    ax.plot(
        values.mean(axis=1), values[:, 1] - values[:, 0], "o", color=color, markersize=4, alpha=0.8, markeredgewidth=0
    )
    ax.axhline(0, color=INK, linewidth=0.6)
    ax.axhline(limits.bias, color=INK, linewidth=1.4)
    for limit in (limits.low, limits.high):
        ax.axhline(limit, color=INK, linewidth=1.0, linestyle="--")
    ax.axhspan(limits.low, limits.high, color=INK, alpha=0.06, linewidth=0)
    ax.margins(x=0.08, y=0.12)
    if limits.high - limits.low < 1e-6 * values.mean():  # equal volumes: rounding errors are no deviation
        ax.set_ylim(limits.bias - 0.01 * values.mean(), limits.bias + 0.01 * values.mean())
    calm(ax)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
