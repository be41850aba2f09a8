"""How good results probably are, read from what ``apply`` wrote beside them, and what to say about it.

The likely Dice of a result goes with its segmentation, as an attribute of the node, into saved scenes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.json_input import parse_json, read_json_file
from MedSegTrainerUI.shared.tables import DOT_COLORS, Cell
from MedSegTrainerUI.slicer_types import SegmentationNode

RESULTS = "results.json"
ATTRIBUTE = "MedSegTrainer.likelyDice"
LOW_DICE = 0.7  # below it a result is one to look at


@dataclass(frozen=True, kw_only=True)
class Likely:
    """The Dice that is expected, 0 to 1, with its 90 % interval; None where nobody knows."""

    dice: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """Of one class of a result."""

    name: str
    likely: Likely
    volume_ml: float | None = None


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """Of one image. label_map: the file, which is not there where ``error`` says why. likely: the mean of classes."""

    name: str
    label_map: Path
    image: str
    warnings: tuple[str, ...]
    error: str
    likely: Likely
    classes: tuple[ClassResult, ...]


def read_results(folder: Path) -> list[CaseResult]:
    """What ``apply`` says of its results in a folder, failed ones first, then the worst. Raises JobError."""
    document = read_json_file(folder / RESULTS, JobError)
    try:
        cases = [_case(item, folder) for item in document["cases"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        text = _("{path} is not as MedSegTrainer writes it. Apply the model again.")
        raise JobError(text.format(path=folder / RESULTS)) from None
    return sorted(cases, key=_badness)


def file_stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written again; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def remember_likely(segmentation: SegmentationNode, case: CaseResult) -> None:
    """Keeps it with the node; where nothing is known there is no attribute."""
    known = case.likely.dice is not None
    text = json.dumps(
        {"likely": asdict(case.likely), "classes": {one.name: asdict(one.likely) for one in case.classes}}
    )
    segmentation.SetAttribute(ATTRIBUTE, text if known else None)


def recall_likely(segmentation: SegmentationNode) -> tuple[Likely, dict[str, Likely]]:
    """Of a result and of each class by its name; nothing where the node has none, or one that cannot be read."""
    try:
        document = parse_json(segmentation.GetAttribute(ATTRIBUTE) or "", ATTRIBUTE, JobError)
        classes = {str(name): _likely(item, "dice") for name, item in document["classes"].items()}
        return _likely(document["likely"], "dice"), classes
    except (JobError, KeyError, TypeError, ValueError, AttributeError):
        return Likely(), {}


def look_text(likely: Likely, classes: Mapping[str, Likely]) -> tuple[str, str]:
    """What to do with a result, in words, and how urgent: a severity of tables, '' where all is well."""
    if likely.dice is None:
        return _("not known"), "note"
    low = [name for name, one in classes.items() if one.dice is not None and one.dice < LOW_DICE]
    if low and len(low) < len(classes):
        text = _("look at this one: {names} probably below {dice}")
        return text.format(names=", ".join(low), dice=LOW_DICE), "error"
    if low or likely.dice < LOW_DICE:
        return _("look at this one: probably below {dice}").format(dice=LOW_DICE), "error"
    doubtful = [one.low for one in (likely, *classes.values()) if one.low is not None]
    if doubtful and min(doubtful) < LOW_DICE:
        return _("perhaps below {dice}").format(dice=LOW_DICE), "warning"
    return _("probably good"), ""


def interval_text(likely: Likely) -> str:
    """As 0.71 (0.52-0.85); '' where nobody knows."""
    if likely.dice is None:
        return ""
    if likely.low is None or likely.high is None:
        return f"{likely.dice:.2f}"
    return f"{likely.dice:.2f} ({likely.low:.2f}\N{EN DASH}{likely.high:.2f})"


def likely_tip(likely: Likely, classes: Mapping[str, Likely]) -> str:
    """The numbers with their intervals, a class a line."""
    if likely.dice is None:
        return _(
            "How good it is, nobody knows: the model was made by an earlier version, or no case was held out when it "
            "was trained."
        )
    lines = [
        _("The Dice that is expected of it, and where it lies in 9 of 10 cases: {text}").format(
            text=interval_text(likely)
        )
    ]
    lines += [f"{name}: {interval_text(one)}" for name, one in classes.items() if one.dice is not None]
    return "\n".join(lines)


def likely_cells(likely: Likely, classes: Mapping[str, Likely]) -> list[Cell]:
    """Two cells of a table: the number, and the words."""
    text, severity = look_text(likely, classes)
    tip = likely_tip(likely, classes)
    number = "" if likely.dice is None else f"{likely.dice:.2f}"
    known = likely.dice is not None
    return [
        Cell(text=number, tip=tip, right=True, dot=DOT_COLORS[severity] if known else None),
        Cell(text=text, tip=tip, faint=not known),
    ]


def by_likely(items: Sequence[SegmentationNode]) -> list[SegmentationNode]:
    """The worst first; those of which nothing is known stay in their order, behind."""

    def dice(node: SegmentationNode) -> float:
        known = recall_likely(node)[0].dice
        return math.inf if known is None else known

    return sorted(items, key=dice)


def _badness(case: CaseResult) -> tuple[int, float]:
    if case.error:
        return 0, 0.0
    return (1, case.likely.dice) if case.likely.dice is not None else (2, 0.0)


def _case(item: Mapping[str, Any], folder: Path) -> CaseResult:
    return CaseResult(
        name=str(item["name"]),
        label_map=folder / str(item["label_map"]),
        image=str(item["image"]),
        warnings=tuple(str(text) for text in item["warnings"]),
        error=str(item["error"] or ""),
        likely=_likely(item, "likely_dice"),
        classes=tuple(
            ClassResult(
                name=str(one["name"]), likely=_likely(one, "likely_dice"), volume_ml=_number(one.get("volume_ml"))
            )
            for one in item["classes"]
        ),
    )


def _likely(item: Mapping[str, Any], name: str) -> Likely:
    return Likely(dice=_number(item[name]), low=_number(item["low"]), high=_number(item["high"]))


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)
