"""How good results probably are, in words and numbers for tables, and kept with their segmentations in the scene."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from slicer.i18n import tr as _

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.results_file import LOOK_BELOW, CaseResult, ClassResult, case_from_json
from MedSegTrainerUI.shared.tables import DOT_COLORS, Cell, format_ml
from MedSegTrainerUI.slicer_types import SegmentationNode

ATTRIBUTE = "MedSegTrainer.likelyDice"
UNKNOWN = CaseResult(name="")
NAME_WIDTH = 105  # pixels of a table for the name of a result: the rest is for the words beside it


def file_stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written again; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def remember_likely(segmentation: SegmentationNode, case: CaseResult) -> None:
    """Keeps it with the node; where nothing is known there is no attribute."""
    known = case.likely_dice is not None
    segmentation.SetAttribute(ATTRIBUTE, json.dumps(asdict(case)) if known else None)


def recall_likely(segmentation: SegmentationNode) -> CaseResult:
    """Of a result; ``UNKNOWN`` where the node has none, or one that cannot be read."""
    text = segmentation.GetAttribute(ATTRIBUTE)
    if not text:
        return UNKNOWN
    try:
        return case_from_json(parse_json(text, ATTRIBUTE, JobError)) or UNKNOWN
    except JobError:
        return UNKNOWN


def class_of(case: CaseResult, name: str) -> ClassResult:
    """Of a segment by its name; without numbers where nobody knows."""
    return next((one for one in case.classes if one.name == name), ClassResult(name=name))


def look_text(case: CaseResult) -> tuple[str, str]:
    """What to do with a result, in words, and how urgent: a severity of tables, '' where all is well."""
    if case.likely_dice is None:
        return _("not known"), "note"
    low = [one for one in case.classes if one.likely_dice is not None and one.likely_dice < LOOK_BELOW]
    if low and len(low) < len(case.classes):
        worst = min(one.likely_dice for one in low if one.likely_dice is not None)
        text = _("look at this one: {names} probably below {dice}")
        return text.format(names=", ".join(one.name for one in low), dice=_above(worst)), "error"
    if case.likely_dice < LOOK_BELOW:
        return _("look at this one: probably below {dice}").format(dice=_above(case.likely_dice)), "error"
    lowest = [case.low, *(one.low for one in case.classes)]
    if any(low is not None and low < LOOK_BELOW for low in lowest):
        return _("perhaps below {dice}").format(dice=LOOK_BELOW), "warning"
    return _("probably good"), ""


def interval_text(one: CaseResult | ClassResult) -> str:
    """As 0.71 (0.52-0.85); '' where nobody knows."""
    if one.likely_dice is None:
        return ""
    if one.low is None or one.high is None:
        return f"{one.likely_dice:.2f}"
    return f"{one.likely_dice:.2f} ({one.low:.2f}\N{EN DASH}{one.high:.2f})"


def likely_tip(one: CaseResult | ClassResult) -> str:
    """The numbers with their intervals; of a case also how large each class is, a class a line."""
    text = _("The Dice that is expected of what the model drew, and where it lies in 9 of 10 cases: {text}")
    unknown = _(
        "How good it is, nobody knows: the model was made by an earlier version, or no case was held out when it "
        "was trained."
    )
    lines = [unknown if one.likely_dice is None else text.format(text=interval_text(one))]
    for item in one.classes if isinstance(one, CaseResult) else ():
        ml = "" if item.volume_ml is None else f"{format_ml(item.volume_ml)} ml"
        if facts := ", ".join(filter(None, (interval_text(item), ml))):
            lines.append(f"{item.name}: {facts}")
    return "\n".join(lines)


def likely_cells(case: CaseResult) -> list[Cell]:
    """Two cells of a table: the number, and the words."""
    text, severity = look_text(case)
    tip, known = likely_tip(case), case.likely_dice is not None
    number = f"{case.likely_dice:.2f}" if known else ""
    return [
        Cell(text=number, tip=tip, right=True, dot=DOT_COLORS[severity] if known else None),
        Cell(text=text, tip=tip, faint=not known),
    ]


def by_likely(items: Sequence[SegmentationNode]) -> list[SegmentationNode]:
    """The worst first; those of which nothing is known stay in their order, behind."""

    def dice(node: SegmentationNode) -> float:
        known = recall_likely(node).likely_dice
        return math.inf if known is None else known

    return sorted(items, key=dice)


def _above(dice: float) -> str:
    """The next tenth."""
    return f"{max(0.1, math.ceil(dice * 10) / 10):.1f}"
