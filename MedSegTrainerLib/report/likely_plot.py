"""What was said of the Dice of each structure before it was known, against what it turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from MedSegTrainerLib.report.curves import INK, calm, inline_svg, short

SIDE = 4.6  # inches
MOST_NAMED = 12  # structures in a legend


@dataclass(frozen=True, kw_only=True)
class Told:
    """A structure of a case whose Dice was estimated, and measured."""

    name: str
    likely: float
    low: float
    high: float
    dice: float

    @property
    def is_inside(self) -> bool:
        return self.low <= self.dice <= self.high


def told_and_measured(document: Mapping[str, Any]) -> list[Told]:
    """The structures of ``metrics.json`` of which both is known."""
    return [
        Told(name=name, likely=item["likely_dice"], low=item["low"], high=item["high"], dice=dice)
        for case, by_class in (document.get("likely_dice") or {}).items()
        for name, item in by_class.items()
        if (dice := document["cases"].get(case, {}).get(name, {}).get("dice")) is not None
    ]


def draw_likely(told: list[Told], colors: Mapping[str, str]) -> str:
    """An ``<svg>``: likely Dice with its interval from left to right, true Dice from below to above; on the broken line
    both are the same."""
    figure = Figure(figsize=(SIDE + 1.6, SIDE), layout="compressed")
    FigureCanvasSVG(figure)
    ax = figure.subplots()
    lowest = max(0.0, min(min(one.likely, one.dice) for one in told) - 0.08)
    ax.plot([0, 1], [0, 1], "--", color=INK, linewidth=0.9, alpha=0.6)
    for name, color in colors.items():
        mine = [one for one in told if one.name == name]
        if not mine:
            continue
        x, y = (np.array([getattr(one, key) for one in mine]) for key in ("likely", "dice"))
        reach = np.abs([[one.likely - one.low for one in mine], [one.high - one.likely for one in mine]])
        ax.errorbar(x, y, xerr=reach, fmt="none", ecolor=color, elinewidth=0.8, alpha=0.35)
        ax.plot(x, y, "o", color=color, markersize=4, alpha=0.85, markeredgewidth=0, label=short(name))
    ax.set_xlim(lowest, 1.01)
    ax.set_ylim(lowest, 1.01)
    ax.set_aspect("equal")
    ax.set_xlabel("likely Dice, with the interval of 9 of 10")
    ax.set_ylabel("true Dice")
    calm(ax)
    if 1 < len(colors) <= MOST_NAMED:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8, labelcolor=INK)
    return inline_svg(figure)


def likely_text(told: list[Told]) -> str:
    """How far what was said held, in a sentence or two."""
    inside, away = sum(one.is_inside for one in told), [abs(one.likely - one.dice) for one in told]
    structures = f"{len(told)} structures" if len(told) > 1 else "1 structure"
    worst = max(told, key=lambda one: one.likely - one.dice)
    text = (
        f"Of {structures} {inside} {'lie' if inside != 1 else 'lies'} within the interval, where 9 of 10 should; the "
        f"likely Dice is {float(np.mean(away)):.3f} from the true one on average."
    )
    if worst.likely > worst.dice and not worst.is_inside:
        text += f" The one most overrated is a {worst.name}: {worst.likely:.2f} was likely, {worst.dice:.2f} is true."
    return text
