"""Which cases a report shows in pictures, and the pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.report.case_arrays import read_case
from MedSegTrainerLib.report.formatting import hex_color, number
from MedSegTrainerLib.report.rotating_view import RotatingView, draw_rotating_view
from MedSegTrainerLib.report.slice_pictures import draw_planes, draw_slices

CASES_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class SelectedCase:
    """A case with pictures, each JPEG as base64. ``role`` says why it was chosen.

    rows are (class, colour, Dice as text). slices and rotating_view: None for a 2D image. has_image, has_uncertainty:
    what the planes show beside the label maps.
    """

    name: str
    role: str
    mean_dice: str
    planes: str
    slices: str | None
    rotating_view: str | None
    frames: int
    limit: float
    rows: list[tuple[str, str, str]]
    is_volume: bool
    has_image: bool
    has_uncertainty: bool


def noteworthy(case_mean_dice: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """At most six cases by mean Dice, worst first, each with why: three worst, the median and two best."""
    ordered = [name for name in worst_first(case_mean_dice) if case_mean_dice[name] is not None]
    if len(ordered) == 1:
        return [(ordered[0], "the only case")]
    last, middle = len(ordered) - 1, (len(ordered) - 1) // 2
    chosen = range(last + 1) if last < CASES_SHOWN else sorted({0, 1, 2, middle, last - 1, last})
    roles = {middle: "median", last: "best", 0: "worst"}  # a case that is several of these: the last named counts
    return [(ordered[rank], roles.get(rank, _ordinal(rank, last))) for rank in chosen]


def worst_first(case_mean_dice: Mapping[str, float | None]) -> list[str]:
    """Cases by mean Dice; those without one at the end."""
    return sorted(case_mean_dice, key=lambda name: (case_mean_dice[name] is None, case_mean_dice[name] or 0.0))


def show_cases(document: Mapping[str, Any], classes: Sequence[LabelClass]) -> list[SelectedCase]:
    """The noteworthy cases of an evaluation's document; reads their files again."""
    return [_show(document, name, role, classes) for name, role in noteworthy(document["overall"]["case_mean_dice"])]


def _show(document: Mapping[str, Any], name: str, role: str, classes: Sequence[LabelClass]) -> SelectedCase:
    value_of = {item.name: item.value for item in classes}
    not_drawn = [value_of[item] for item in document.get("not_drawn", {}).get(name, ())]
    form = document.get("label_forms", {}).get(name)
    case = read_case(
        document["files"][name], list(value_of.values()), document.get("ignore_label"), value_of, not_drawn, form
    )
    values = document["cases"][name]
    present = [item for item in classes if values[item.name]["dice"] is not None]
    rotating_view: RotatingView | None = draw_rotating_view(case, classes)
    slices = draw_slices(case, classes)
    return SelectedCase(
        name=name,
        role=role,
        mean_dice=number(document["overall"]["case_mean_dice"][name], 3),
        planes=_text(draw_planes(case, classes)),
        slices=_text(slices) if slices else None,
        rotating_view=_text(rotating_view.picture) if rotating_view else None,
        frames=rotating_view.frames if rotating_view else 0,
        limit=rotating_view.limit if rotating_view else 0.0,
        rows=[(item.name, hex_color(item), number(values[item.name]["dice"], 3)) for item in present],
        is_volume=min(case.reference.shape) > 1,
        has_image=case.image is not None,
        has_uncertainty=case.uncertainty is not None,
    )


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _ordinal(rank: int, last: int) -> str:
    names = {1: "second worst", 2: "third worst", last - 1: "second best"}
    return names.get(rank, f"{rank + 1} of {last + 1}, from the worst")
