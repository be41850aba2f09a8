"""The picture of a learning rate range test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from MedSegTrainerLib import atomic

MARK = "#d1495b"
DPI = 110


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
            f"{suggestion:.2g}", (suggestion, 1.0), xycoords=("data", "axes fraction"), xytext=(5, -4),
            textcoords="offset points", color=MARK, fontsize=13, fontweight="bold", va="top",
        )  # fmt: skip
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    ax.set_title("Learning rate range test", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.2)
    ax.legend(frameon=False, loc="lower left")
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_with(path, lambda stream: figure.savefig(stream, format="png", dpi=DPI))


def _limits(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """From below the lowest loss to somewhat above where the curve began: an explosion would flatten all else."""
    known = np.array([value for value in losses if np.isfinite(value)] or [0.0, 1.0])
    low, start = float(known.min()), float(known[: max(1, len(known) // 4)].max())
    steady = [value for value in smoothed if np.isfinite(value)]
    high = min(float(known.max()), start + 0.6 * (start - low), max([*steady, start]) * 1.05)
    margin = 0.06 * max(high - low, 1e-6)
    return low - margin, high + 2 * margin
