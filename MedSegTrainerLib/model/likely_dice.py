"""How good a label map probably is, told by how far looks at its image agree, as the held-out cases of a model taught.

Of each held-out case and class the model keeps a pair: the agreement (``inference.agreement``) and the true Dice. On
the scale of log-odds a line is fitted to them, whose slope is drawn to ``SLOPE``, as cases that are all good cannot
tell it: looks share errors, so that the Dice falls faster than their agreement. The interval is that of the next case
of a Bayesian linear regression (Gelman et al., Bayesian Data Analysis, 3rd edition, section 14.2): it is wide where
cases are few, and wider where an image agrees less than any of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from scipy import stats

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ModelError

SCHEMA_VERSION = 1
COVERAGE = 0.9
SLOPE, SLOPE_SPREAD = 1.5, 0.5  # of the line before any case was seen: mean and standard deviation, as measured
LEAST_SPREAD = 0.1  # of cases about the line, in log-odds: alike by chance
LOWEST, HIGHEST = 0.01, 0.995  # Dice and agreements beyond tell nothing more
UNLIKE_LOWER, UNLIKE_WIDER = 0.1, 0.5  # of images unlike the training: log-odds, and share of the way to the bound
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A class in a held-out case. agreement: None where no look found it. dice: true, None where it is absent too."""

    case: str
    agreement: Share | None
    dice: Share | None


@dataclass(frozen=True, kw_only=True)
class ClassPoints:
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    value: int
    name: str
    points: list[Point]

    @property
    def is_always_there(self) -> bool:
        """Whether every held-out case has the class: then finding nothing is a failure."""
        return bool(self.points) and all(point.dice is not None for point in self.points)

    @cached_property
    def line(self) -> _Line | None:
        pairs = [(p.agreement, p.dice) for p in self.points if p.agreement is not None and p.dice is not None]
        return _Line.through(pairs) if pairs else None


@dataclass(frozen=True, kw_only=True)
class Likely:
    """A likely Dice, and the bounds between which 9 of 10 such cases lie; None where nobody knows."""

    likely_dice: float | None = None
    low: float | None = None
    high: float | None = None


UNKNOWN = Likely()
NOTHING_FOUND = Likely(likely_dice=0.0, low=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Log-odds of Dice over log-odds of agreement. count: of cases; mean: of both; sum_squares: of agreements about
    their mean; spread: standard deviation of cases about the line."""

    count: int
    mean: tuple[float, float]
    sum_squares: float
    slope: float
    spread: float

    @classmethod
    def through(cls, pairs: Sequence[tuple[float, float]]) -> _Line:
        x, y = (np.array([_log_odds(value) for value in values]) for values in zip(*pairs, strict=True))
        dx, dy = x - x.mean(), y - y.mean()
        squares, slope, spread = float((dx**2).sum()), SLOPE, 0.0
        for _ in range(20):  # the slope is drawn to its prior by how far cases scatter, which follows from the slope
            spread = math.sqrt(float(((dy - slope * dx) ** 2).sum()) / max(1, len(x) - 1))
            drawn = (max(spread, LEAST_SPREAD) / SLOPE_SPREAD) ** 2
            slope = max(0.0, (drawn * SLOPE + float((dx * dy).sum())) / (drawn + squares))
        return cls(
            count=len(x),
            mean=(float(x.mean()), float(y.mean())),
            sum_squares=squares,
            slope=slope,
            spread=max(spread, LEAST_SPREAD),
        )

    def at(self, agreement: float) -> tuple[float, float, float]:
        """Log-odds of the likely Dice and of its bounds, for the log-odds of an agreement.

        Far from all cases the bounds of a regression turn back, as nobody knows the slope: there they stay as they are.
        """
        away = agreement - self.mean[0]
        middle = self.mean[1] + self.slope * away
        if self.count == 1:
            return middle, -math.inf, math.inf
        reach = float(stats.t.ppf((1 + COVERAGE) / 2, self.count - 1)) * self.spread
        known, own = (self.spread / SLOPE_SPREAD) ** 2 + self.sum_squares, 1 + 1 / self.count
        steep = reach**2 - self.slope**2 * known
        turn = self.slope * known * math.sqrt(own / steep) if steep > 0 else math.inf
        low, high = min(away, turn), max(away, -turn)
        return (
            middle,
            self.mean[1] + self.slope * low - reach * math.sqrt(own + low**2 / known),
            self.mean[1] + self.slope * high + reach * math.sqrt(own + high**2 / known),
        )


def estimate(points: ClassPoints, agreement: float | None, *, unlike: bool = False) -> Likely:
    """The likely Dice of a class from its agreement, None where no look found it.

    unlike: whether the image is unlike those of the training. More agreement never lowers any of the three numbers.
    """
    if agreement is None:
        return NOTHING_FOUND if points.is_always_there else UNKNOWN
    if points.line is None:
        return UNKNOWN
    middle, low, high = points.line.at(_log_odds(agreement))
    if unlike:
        middle, low = middle - UNLIKE_LOWER, low - UNLIKE_LOWER - UNLIKE_WIDER * (middle - low)
    return Likely(likely_dice=_share(middle), low=_share(low), high=_share(high))


def of_case(classes: Sequence[Likely]) -> Likely:
    """The mean over the classes of which anything is known; its bounds are the means of theirs."""
    known = [asdict(item) for item in classes if item.likely_dice is not None]
    if not known:
        return UNKNOWN
    return Likely(**{key: round(float(np.mean([one[key] for one in known])), 4) for key in known[0]})


def held_out_points(
    classes: Sequence[LabelClass], agreements: Mapping[str, Sequence[float | None]], results: Mapping[str, Any]
) -> list[ClassPoints]:
    """What held-out cases tell: agreements by the name of a case, in the order of the classes; results: their
    evaluation, as the document of ``metrics.json`` has it. Classes that nobody looked for in a case have no point."""
    points: dict[int, list[Point]] = {item.value: [] for item in classes}
    for case, by_class in agreements.items():
        for item, agreement in zip(classes, by_class, strict=True):
            if item.name in results["cases"][case] and item.name not in results["not_drawn"].get(case, ()):
                dice = results["cases"][case][item.name]["dice"]
                known = None if agreement is None else round(agreement, 5)
                points[item.value].append(Point(case=case, agreement=known, dice=dice))
    return [ClassPoints(value=item.value, name=item.name, points=points[item.value]) for item in classes]


def leave_one_out(classes: Sequence[ClassPoints]) -> dict[str, dict[str, Likely]]:
    """What each held-out case would have been told by the others: case to name of the class to likely Dice."""
    told: dict[str, dict[str, Likely]] = {}
    for item in classes:
        for point in item.points:
            others = replace(item, points=[other for other in item.points if other.case != point.case])
            told.setdefault(point.case, {})[item.name] = estimate(others, point.agreement)
    return told


def to_json(classes: Sequence[ClassPoints]) -> dict[str, Any]:
    """For ``model.json``; {} without any point."""
    if not any(item.points for item in classes):
        return {}
    return {"schema_version": SCHEMA_VERSION, "classes": [asdict(item) for item in classes]}


def from_json(entry: Any) -> list[ClassPoints]:
    """What ``to_json`` wrote; [] for {} of older models and for forms of later versions. Raises ModelError."""
    if not entry or entry.get("schema_version") != SCHEMA_VERSION:
        return []
    try:
        return TypeAdapter(list[ClassPoints]).validate_python(entry.get("classes"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("likely_dice", "classes", *map(str, first["loc"])))
        raise ModelError(f"{where} = {first['input']!r:.60}: {first['msg']}") from None


def refuse_misfits(entry: Any, values: Sequence[int]) -> None:
    """Raises ModelError where the entry of a model is damaged, or of other classes than those with these values."""
    told = [item.value for item in from_json(entry)]
    if len(set(told)) < len(told) or not set(told) <= set(values):
        raise ModelError(f"likely_dice tells of classes {told}, and the plan has {list(values)}")


def joined_points(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entries of several models of the same classes as of one; {} where a model has none."""
    parsed = [from_json(member) for member in members]
    if not parsed or not all(parsed):
        return {}
    points: dict[int, list[Point]] = {}
    for item in (item for classes in parsed for item in classes):
        points.setdefault(item.value, []).extend(item.points)
    return to_json([replace(item, points=points[item.value]) for item in parsed[0]])


def _log_odds(share: float) -> float:
    inside = min(max(share, LOWEST), HIGHEST)
    return math.log(inside / (1 - inside))


def _share(log_odds: float) -> float:
    if math.isinf(log_odds):
        return float(log_odds > 0)
    return round(1 / (1 + math.exp(-log_odds)), 4)
