"""Classes with a side, by name or by place: a model of them must not learn from mirror images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from MedSegTrainerLib.data.checks.case_scan import CaseScan

CLEAR = {  # words that mean a side wherever they stand; left ones, then right ones
    "left": "left lh links linke linker linkes linken gauche sinister sinistra sinistrum sinistro sinistri "
    "izquierda izquierdo esquerda esquerdo 左",
    "right": "right rh rechts rechte rechter rechtes rechten droite droit dexter dextra dextrum destra destro destri "
    "derecha derecho direita direito 右",
}
SHORT = {"left": "l lt", "right": "r rt"}  # mean a side at the beginning or the end of a name: 'R lung', 'kidney_L'
IN_PAIRS = {"left": "sin sx li os", "right": "dex dx dext re od"}  # mean a side where the other one has a name too
GLUED = ("left", "right")  # 'leftkidney', where 'rightkidney' has a name too

APART = 1.0  # distance of two centres, in sums of the standard deviations: halves of a ball are 1.5 apart
NEARLY_ALL = 0.9  # of the cases
FEWEST_CASES = 3  # that have both classes, unless fewer have any of the two

Sides = dict[str, str]
"""Word to 'left' or 'right'."""


def why_not_mirror(names: Iterable[str]) -> str | None:
    """What a left-right mirror image would do to classes of these names, as a text, or None if they have no side."""
    names = list(names)
    pair = left_right_pair(names)
    if pair:
        return f"mirroring would turn '{pair[0]}' into '{pair[1]}'"
    name = one_sided_name(names)
    return f"'{name}' lies on one side, and mirroring would move it to the other" if name else None


def opposite_sides(scans: Sequence[CaseScan], names: Mapping[int, str]) -> dict[int, str]:
    """Axes (0 is z, 1 is y, 2 is x) along which two classes lie on opposite sides in nearly all cases, and which.

    Mirrored along it, one would look like the other where nothing but the place tells them apart. ``names``: of label
    values. Of several pairs the one furthest apart is named. A case says nothing of a class that nobody looked for.
    """
    measured = [(scan, scan.stats) for scan in scans if scan.stats]
    if not measured or len(names) < 2:
        return {}
    nowhere = (np.nan, np.nan, np.nan)
    known = np.array([[scan.knows(name) for name in names.values()] for scan, _ in measured])
    centers, stds = (
        np.array([[positions.get(value, nowhere) for value in names] for positions in each])
        for each in ([case.centers for _, case in measured], [case.stds for _, case in measured])
    )
    centers[~known] = np.nan
    furthest: dict[int, tuple[float, str]] = {}
    ordered = list(names.values())
    for first in range(len(ordered) - 1):
        both = known[:, first + 1 :] & known[:, first : first + 1]
        distance = centers[:, first + 1 :] - centers[:, first : first + 1]  # (cases, other classes, 3)
        apart = distance / np.maximum(stds[:, first + 1 :] + stds[:, first : first + 1], 1e-6)
        count = np.isfinite(apart).sum(axis=0)
        either = (np.isfinite(centers[:, first + 1 :]) | np.isfinite(centers[:, first : first + 1])) & both[:, :, None]
        most = np.maximum((apart >= APART).sum(axis=0), (apart <= -APART).sum(axis=0))
        enough = (count > 0) & (count >= np.minimum(FEWEST_CASES, either.sum(axis=0)))
        for other, axis in np.argwhere(enough & (most >= NEARLY_ALL * count)):
            separation = float(np.nanmedian(np.abs(apart[:, other, axis])))
            if separation > furthest.get(axis, (0.0, ""))[0]:
                where = (
                    f"lie on opposite sides along {'zyx'[axis]} in {most[other, axis]} of {count[other, axis]} cases"
                )
                furthest[int(axis)] = separation, f"'{ordered[first]}' and '{ordered[first + 1 + other]}' {where}"
    return {axis: text for axis, (_, text) in furthest.items()}


def left_right_pair(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that differ only in their side, the left one first, or None.

    'left kidney' and 'right kidney', 'kidney_L' and 'kidney_R', 'LeftKidney' and 'kidney right'.
    """
    sides_of_rest: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        for side, rest in _readings(_name_parts(name)):
            by_side = sides_of_rest.setdefault(rest, {})
            by_side.setdefault(side, name)
            if len(by_side) == 2:
                return by_side["left"], by_side["right"]
    return None


def one_sided_name(names: Iterable[str]) -> str | None:
    """The first name that tells a side by itself, or None: where only the left kidney is a class, the right one is
    background, and their mirror images are the other way round."""
    for name in names:
        parts = _name_parts(name)
        if any(part in _CLEAR for part in parts):
            return name
        inner = len(parts) > 1
        begins = inner and parts[0] in _SHORT and not parts[1].isdigit()  # 'L 5' is a vertebra
        if begins or (inner and parts[-1] in _SHORT):
            return name
    return None


def _readings(parts: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each way to read a name as a side and the rest: sorted, as 'left kidney' and 'kidney left' are the same."""
    for index, part in enumerate(parts):
        others = [*parts[:index], *parts[index + 1 :]]
        if part in _ANY:
            yield _ANY[part], tuple(sorted(others))
        for side in GLUED:
            rest = part.removeprefix(side).removesuffix(side)
            if rest and rest != part:
                yield side, tuple(sorted([*others, rest]))


def _name_parts(name: str) -> list[str]:
    """Words and numbers in lower case; 'LeftKidney', 'RLung', 'kidneyL' and '左肾' are two words each."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[左右])|(?=[左右])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+|\d+", split)]


def _sides(*tables: dict[str, str]) -> Sides:
    return {word: side for table in tables for side, words in table.items() for word in words.split()}


_CLEAR, _SHORT, _ANY = _sides(CLEAR), _sides(SHORT), _sides(CLEAR, SHORT, IN_PAIRS)
