"""What ``apply`` says of the images it segmented: ``results.json`` and ``results.csv`` beside the label maps.

A case is one image. Numbers that nobody knows are null. Cases come worst first: what failed, then the lowest likely
Dice, at the end those of which nothing is known. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.csv_text import csv_text
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import filled

SCHEMA_VERSION = 1
RESULTS, TABLE = "results.json", "results.csv"
FILES = (RESULTS, TABLE)
LOOK_BELOW = 0.7  # likely Dice: below it somebody should look first


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """A class in an image: its likely Dice, the interval that holds 9 of 10 such, and how large it is."""

    name: str
    likely_dice: float | None = None
    low: float | None = None
    high: float | None = None
    volume_ml: float | None = None


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """An image. label_map: the file's name, '' where there is none. error: why not. The likely Dice is the mean over
    the classes of which one is known."""

    name: str
    label_map: str = ""
    image: str = ""
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    likely_dice: float | None = None
    low: float | None = None
    high: float | None = None
    classes: list[ClassResult] = field(default_factory=list)


def worst_first(cases: Iterable[CaseResult]) -> list[CaseResult]:
    def place(case: CaseResult) -> tuple[int, float, str]:
        known = case.likely_dice
        return (0 if case.error else 2 if known is None else 1), 0.0 if known is None else known, case.name

    return sorted(cases, key=place)


def write_results(folder: Path, cases: Iterable[CaseResult]) -> None:
    """Both files, each at once; raises StorageError."""
    ordered = worst_first(cases)
    document = {"schema_version": SCHEMA_VERSION, "cases": [asdict(case) for case in ordered]}
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(folder / RESULTS, document)
    atomic.write_bytes(folder / TABLE, _table(ordered).encode())


def read_results(folder: Path) -> list[CaseResult]:
    """The cases in a folder's ``results.json``, worst first; raises UsageError where there is none, or a bad one."""
    path = folder / RESULTS
    try:
        document = read_json_file(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}). Is it the -o of 'apply'?") from None
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path} was not made by 'apply' of this version. Apply the model again.")
    listed = document.get("cases")
    cases = [case_from_json(item) for item in listed] if isinstance(listed, list) else [None]
    known = [case for case in cases if case is not None]
    if len(known) < len(cases):
        raise UsageError(f"{path} is damaged. Apply the model again with --overwrite.")
    return worst_first(known)


def case_from_json(value: Any) -> CaseResult | None:
    """What ``asdict`` made of a case; None where it is something else."""
    if not isinstance(value, Mapping) or not isinstance(value.get("classes", []), list):
        return None
    classes = [_as(ClassResult, item) for item in value.get("classes", [])]
    return None if None in classes else _as(CaseResult, {**value, "classes": classes})


def _as(kind: type[Any], value: Any) -> Any:
    """A dataclass from its values; None where they are of other types. What a later version adds is left out."""
    entry = filled(value, kind) if isinstance(value, Mapping) else None
    return None if entry is None else kind(**{item.name: entry[item.name] for item in fields(kind)})


def advice(likely_dice: float | None) -> str:
    """Words for a likely Dice: '' where nobody need look first."""
    if likely_dice is None or likely_dice >= LOOK_BELOW:
        return ""
    return f"look at this one: probably below {max(0.1, math.ceil(likely_dice * 10) / 10):.1f}"


def _table(cases: Sequence[CaseResult]) -> str:
    header = ["case", "class", "likely_dice", "low", "high", "volume_ml", "label_map", "image", "warnings", "error"]
    rows = [
        [
            case.name, item.name, item.likely_dice, item.low, item.high, item.volume_ml,
            case.label_map, case.image, "; ".join(case.warnings), case.error,
        ]
        for case in cases
        for item in case.classes or [ClassResult(name="")]
    ]  # fmt: skip
    return csv_text(header, rows)
