"""Dividing cases that stay together into parts of given sizes: in turn, or so that every class is in every part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Cases that stay together: those of a patient, or one alone. labels: classes that any of them has. only_trains:
    whether none of them may be held out."""

    cases: tuple[str, ...]
    labels: frozenset[int] = frozenset()
    only_trains: bool = False


Parts = list[list[Unit]]


def in_turn(ordered: Sequence[Unit], sizes: Sequence[int]) -> Parts:
    """The first units to the first part until it has about so many cases, and so on; the last part takes the rest.

    Each part with a size gets a unit as long as there are any, later parts first. Parts of size 0 stay empty.
    """
    parts: Parts = [[] for _ in sizes]
    position = 0
    for index, size in enumerate(sizes):
        later = sum(1 for other in sizes[index + 1 :] if other)
        while size and position < len(ordered) - later:
            enough = bool(parts[index]) and count_cases(parts[index]) + len(ordered[position].cases) / 2 > size
            if enough and later:
                break
            parts[index].append(ordered[position])
            position += 1
    return parts


def evenly(ordered: Sequence[Unit], count: int) -> Parts:
    """So many parts, each unit to the one with the fewest cases."""
    parts: Parts = [[] for _ in range(count)]
    for unit in ordered:
        min(parts, key=count_cases).append(unit)
    return parts


def stratify(units: Sequence[Unit], sizes: Sequence[int]) -> Parts:
    """Units in parts of about these sizes (cases), every class in each part as often as the part is large.

    Iterative stratification: the rarest class first, each of its units to the part that lacks it most (Sechidis et
    al. 2011, On the Stratification of Multi-label Data). A part that is full takes no more.
    """
    labels = [unit.labels or frozenset({0}) for unit in units]  # cases without any class are spread as well
    counts = Counter(label for each in labels for label in each)
    quota = {label: [size * count / max(1, sum(sizes)) for size in sizes] for label, count in counts.items()}
    room = list(sizes)
    parts: Parts = [[] for _ in sizes]
    unassigned = list(range(len(units)))
    while unassigned:
        remaining = Counter(label for index in unassigned for label in labels[index])
        rarest = min(remaining, key=lambda label: (remaining[label], label))
        for index in [index for index in unassigned if rarest in labels[index]]:
            chosen = max(range(len(sizes)), key=lambda part: (room[part] > 0, quota[rarest][part], room[part], -part))
            parts[chosen].append(units[index])
            room[chosen] -= len(units[index].cases)
            for label in labels[index]:
                quota[label][chosen] -= 1
            unassigned.remove(index)
    _fill_empty(parts, sizes)
    return parts


def cover(train: Sequence[Unit], val: Sequence[Unit]) -> tuple[list[Unit], list[Unit]]:
    """The two parts, with as few units exchanged as it takes that ``train`` lacks no class, and then ``val`` as few as
    it can. Nothing changes where no exchange helps; of equal ones the first that keeps the sizes is made."""
    train, val = list(train), list(val)
    while (pair := _best_exchange(train, val)) is not None:
        train[pair[0]], val[pair[1]] = val[pair[1]], train[pair[0]]
    return train, val


def _best_exchange(train: Sequence[Unit], val: Sequence[Unit]) -> tuple[int, int] | None:
    """Indices of the units of both parts to exchange, or None where that would bring no class."""
    counts = [Counter(label for unit in part for label in unit.labels) for part in (train, val)]
    lacking = [counts[1 - part].keys() - counts[part].keys() for part in (0, 1)]
    best: tuple[int, int, int, int, int] | None = None
    for i, given in enumerate(train):
        for j, taken in enumerate(val):
            if given.only_trains or not (given.labels & lacking[1] or taken.labels & lacking[0]):
                continue
            changes = _change(counts[0], given, taken, lacking[0]), _change(counts[1], taken, given, lacking[1])
            key = (*changes, abs(len(given.cases) - len(taken.cases)), i, j)
            if key[:2] < (0, 0) and (best is None or key < best):
                best = key
    return best[3:] if best else None


def _change(counts: Counter[int], removed: Unit, added: Unit, lacking: Set[int]) -> int:
    """How many more classes a part lacks when a unit leaves and another comes; below 0: fewer."""
    lost = sum(counts[label] == 1 for label in removed.labels - added.labels)
    return lost - len(added.labels & lacking)


def count_cases(units: Sequence[Unit]) -> int:
    return sum(len(unit.cases) for unit in units)


def _fill_empty(parts: Parts, sizes: Sequence[int]) -> None:
    """A part that should have cases gets a unit of the part with the most, where large patients left it none."""
    for index, size in enumerate(sizes):
        richest = max(parts, key=len)
        if size and not parts[index] and len(richest) > 1:
            parts[index].append(richest.pop())
