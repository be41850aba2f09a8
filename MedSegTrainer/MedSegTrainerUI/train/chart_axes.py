"""The axes of a chart: they follow its curves until the user looks closer, and a loss that falls far is logarithmic.

Slicer's plot view computes an automatic range once, so ranges are set at every update. What the user makes of them with
wheel and mouse it writes into the chart node.
"""

from __future__ import annotations

import math

from MedSegTrainerUI.slicer_types import Node

Range = tuple[float, float]  # least and most
LOG_SPAN = 10.0  # times the least: a linear axis would show what follows the first epochs as a line along its bottom
ROUNDING = 1e-6  # of a range, where a logarithmic axis has turned it to and fro
LARGEST = 1e300  # beyond, a margin would be infinite
STEPS = (1.0, 2.0, 5.0, 10.0)  # of a power of ten, for the ends of a logarithmic axis


class ChartAxes:
    """Of one vtkMRMLPlotChartNode."""

    def __init__(self, chart: Node) -> None:
        self._chart = chart
        self._given: dict[str, Range] = {}  # by X and Y
        self._log = False
        for letter in "XY":
            getattr(chart, f"Set{letter}AxisRangeAuto")(False)
        chart.SetYAxisLogScale(False)

    @property
    def zoomed(self) -> bool:
        """Whether the user has chosen a part of what is there."""
        return any(map(self._hides_some, self._given))

    def follow(self, across: Range, up: Range, *, log: bool = False) -> None:
        """The ranges that show everything; an axis of which the user sees a part stays as it is."""
        for letter, wanted in (("X", across), ("Y", up)):
            users = self._hides_some(letter)
            self._given[letter] = wanted
            if not users:
                getattr(self._chart, f"Set{letter}AxisRange")(*wanted)
        if log != self._log:  # else it is as the user may have set it in the module Plots
            self._log = log
            self._chart.SetYAxisLogScale(log)

    def show_all(self) -> None:
        """And follow the curves again."""
        for letter, wanted in self._given.items():
            getattr(self._chart, f"Set{letter}AxisRange")(*wanted)

    def _hides_some(self, letter: str) -> bool:
        if letter not in self._given:
            return False
        low, high = getattr(self._chart, f"Get{letter}AxisRange")()
        first, last = self._given[letter]
        rounding = ROUNDING * (last - first)
        return bool(low > first + rounding or high < last - rounding)


def loss_axis(losses: Range) -> tuple[Range, bool]:
    """The range for losses from the least to the most, with a margin, and whether it is logarithmic."""
    lowest, highest = (min(max(loss, -LARGEST), LARGEST) for loss in losses)
    if 1 / LARGEST < LOG_SPAN * lowest < highest:
        return (_round_below(lowest), _round_above(highest)), True
    margin = 0.05 * (highest - lowest) or 0.05 * abs(highest) or 1.0
    return (lowest - margin, highest + margin), False


def _round_below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max([step * power for step in STEPS if step * power <= value], default=value)


def _round_above(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min([step * power for step in STEPS if step * power >= value], default=value)
