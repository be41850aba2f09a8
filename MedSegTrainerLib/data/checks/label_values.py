"""What the values of label maps mean, where they may mean something else than one class each.

Masks of 0 and 1 and of 0 and 255 are the same in the field, 255 and -1 often mark voxels that nobody labelled, and a
mask that was resized or saved as a JPEG has grays around its edges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from MedSegTrainerLib.classes import WHITE, class_names
from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.errors import some
from MedSegTrainerLib.findings import Finding

BINARY = {1, WHITE}
VOID = (WHITE, 65535)  # the largest numbers of 8 and 16 bits
IGNORE_NAMES = ("ignore", "ignored", "void")
NEARLY_WHITE = 250
FEWEST_GRAYS, FEW_GRAYS = 8, 3  # between 0 and white: no classes, and perhaps none
NOBODY = "voxels that nobody labelled"


def as_class(array: np.ndarray, expected: Collection[int], ignore_label: int | None = None) -> np.ndarray:
    """Label values with the expected one, where that is 1 or 255 and the only one in the array is the other."""
    if len(expected) != 1 or not BINARY.issuperset(expected):
        return array
    [value] = expected
    [other] = BINARY - {value}
    is_other = array == other
    if other == ignore_label or not is_other.any():
        return array
    rest = (array != 0) & ~is_other
    if ignore_label is not None:
        rest &= array != ignore_label
    return array if rest.any() else np.where(is_other, array.dtype.type(value), array)


def join_binary(scans: Sequence[CaseScan], names: Mapping[int, str]) -> tuple[list[CaseScan], list[Finding]]:
    """The scans with one value where some masks are of 0 and 1 and the others of 0 and 255, and that it was done."""
    values = {scan.name: {value for value, count in scan.voxels.items() if value and count} for scan in scans}
    present = set().union(*values.values())
    if present != BINARY or any(len(own) > 1 for own in values.values()) or len(names) > 1:
        return list(scans), []
    [value] = names.keys() & BINARY or {1}
    [other] = BINARY - {value}
    cases = [name for name, own in values.items() if other in own]
    finding = Finding(
        severity="warning",
        kind="masks of 0 and 1 and of 0 and 255",
        message=f"Of {len(scans)} masks {len(cases)} are of 0 and {other} ({some(cases)}), the others of 0 and "
        f"{value}: they were taken as one class, of value {value}.",
        remedy="Nothing to do, unless they are two structures: then give these the values 1 and 2.",
    )
    return [_renumbered(scan, other, value) if scan.name in cases else scan for scan in scans], [finding]


def is_soft(counts: Mapping[int, int], fewest: int = FEWEST_GRAYS) -> bool:
    """Whether a label map (value to voxels) is a mask of 0 and 255 with grays in between, no classes.

    White is then its most frequent value but 0, and the grays do not just count up from 1, as classes beside a 255 do.
    """
    inside = {value: count for value, count in counts.items() if 0 < value <= WHITE and count}
    top = max(inside, key=lambda value: inside[value], default=0)
    grays = inside.keys() - {top}
    return top >= NEARLY_WHITE and len(grays) >= fewest and max(grays) > 2 * len(grays)


def soft_message(counts: Mapping[int, int]) -> tuple[str, str]:
    """What is wrong with such a mask, and what to do."""
    grays = sorted(value for value, count in counts.items() if 0 < value < WHITE and count)
    return (
        f"{len(grays)} gray values ({some([str(value) for value in grays])}) lie between 0 and {WHITE}: edges that "
        "resizing or JPEG compression made soft, no classes.",
        "Set all below 128 to 0 and the rest to 255, and resize masks with nearest neighbour.",
    )


def _soft(examined: Examined) -> Iterator[Finding]:
    kind = "gray values in a mask"
    for scan in examined.scans:
        unnamed = {
            value: count for value, count in scan.voxels.items() if value == WHITE or value not in examined.names
        }
        message, remedy = soft_message(unnamed)
        if is_soft(unnamed):
            yield Finding(case=scan.name, severity="error", kind=kind, message=message, remedy=remedy)
        elif is_soft(unnamed, FEW_GRAYS):
            remedy = f"Where they are no classes: {remedy[0].lower()}{remedy[1:]}"
            yield Finding(case=scan.name, severity="warning", kind=kind, message=f"perhaps {message}", remedy=remedy)


def _void(examined: Examined) -> Iterator[Finding]:
    """The largest number there is, beside a few small ones."""
    values = examined.values()
    for void in VOID:
        others = [value for value in values if value not in VOID and value != examined.ignore_label]
        beside = [scan.name for scan in examined.scans if scan.voxels.get(void) and any(map(scan.voxels.get, others))]
        if beside and void not in examined.names and void != examined.ignore_label and _counts_up(others):
            yield Finding(
                severity="warning",
                kind="a value that often means 'not labelled'",
                message=f"{void} stands beside {some([str(value) for value in others])} in {len(beside)} label maps "
                f"({some(beside)}), and is learned as a class. It is often given to {NOBODY}.",
                remedy=f"If so: --set ignore_label={void}. Else give the class the next number, or a name.",
            )


def _counts_up(values: Sequence[int]) -> bool:
    return bool(values) and min(values) > 0 and max(values) <= 2 * len(values)


def _negative(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        negative = sorted(value for value in scan.voxels if value < 0 and value not in examined.names)
        if negative:
            yield Finding(
                case=scan.name,
                severity="error",
                kind="negative label values",
                message=f"Its label map has the value{'s' if len(negative) > 1 else ''} "
                f"{some([str(value) for value in negative])}: {NOBODY}, or 255 in a signed byte?",
                remedy=f"Give unlabelled voxels to training as such: --set ignore_label={negative[0]}. Give classes "
                "numbers from 1 on.",
            )


def _numbering(examined: Examined) -> Iterator[Finding]:
    """Where all cases have the same number of classes, and not the same ones."""
    own = {scan.name: frozenset(v for v, count in scan.voxels.items() if v and count) for scan in examined.scans}
    sets = {values for values in own.values() if values}
    if class_names(examined.values(), examined.names) or len(sets) < 2 or len({len(values) for values in sets}) > 1:
        return
    several = max(map(len, sets)) > 1
    first, *others = sorted(sets, key=sorted)
    yield Finding(
        severity="warning",
        kind="classes numbered by case",
        message=f"Every case has {len(first)} label value{'s' if several else ''}, but not the same: "
        + "; ".join(
            f"{', '.join(map(str, sorted(values)))} in {some([name for name, each in own.items() if each == values])}"
            for values in (first, *others[:2])
        )
        + ".",
        remedy="Exports that number segments by their order give one structure several numbers: then give it the same "
        "one everywhere. Nothing to do where they are different structures.",
    )


def _class_named_ignore(examined: Examined) -> Iterator[Finding]:
    for value, name in examined.names.items():
        if name.casefold() in IGNORE_NAMES and value != examined.ignore_label:
            setting = "" if examined.ignore_label is None else f", and ignore_label is {examined.ignore_label}"
            yield Finding(
                severity="warning",
                kind="a class named 'ignore'",
                message=f"Value {value} is named '{name}', as {NOBODY} are{setting}: {value} is learned as a class.",
                remedy=f"Where nobody labelled these voxels: --set ignore_label={value}.",
            )


def _renumbered(scan: CaseScan, value: int, to: int) -> CaseScan:
    def moved(table: Mapping[int, Any]) -> dict[int, Any]:
        return {to if key == value else key: item for key, item in table.items()}

    stats = scan.stats and replace(
        scan.stats,
        levels=moved(scan.stats.levels),
        centers=moved(scan.stats.centers),
        specks=moved(scan.stats.specks),
    )
    return replace(scan, voxels=moved(scan.voxels), stats=stats)


VALUE_CHECKS: dict[str, Callable[[Examined], Iterator[Finding]]] = {
    "gray values": _soft,
    "void": _void,
    "negative values": _negative,
    "numbering": _numbering,
    "named ignore": _class_named_ignore,
}
