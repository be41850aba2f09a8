"""What of a trained model the classes and the channels of a new training come from, by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from MedSegTrainerLib.errors import did_you_mean, some

UNNAMED = re.compile(r"channel \d+")  # what a channel is called where nobody names it


@dataclass(frozen=True, kw_only=True)
class Origins:
    """classes: for each class, the indices (1 the first) of the classes of the model that it comes from: none of a new
    one, several where these become one. channels: for each channel, the index (0 the first) of the model's, None for a
    new one."""

    classes: tuple[tuple[int, ...], ...]
    channels: tuple[int | None, ...]

    @property
    def shares(self) -> Counter[int]:
        """Into how many classes each class of the model is divided."""
        return Counter(source for sources in self.classes for source in sources)


def class_origins(
    old: Sequence[str], new: Sequence[str], rename: Sequence[str]
) -> tuple[tuple[tuple[int, ...], ...], list[str]]:
    """``Origins.classes`` and what is wrong with the entries 'old=new' of ``rename``, a line each.

    A class that no entry names keeps its name; capitals do not count where that leaves no doubt.
    """
    pairs = [(before.strip(), after.strip()) for before, _, after in (entry.partition("=") for entry in rename)]
    problems = []
    for entry, (before, after) in zip(rename, pairs, strict=True):
        if before not in old:
            problems.append(f"start.rename '{entry}': the model has no class '{before}'.{did_you_mean(before, old)}")
        if after not in new:
            problems.append(f"start.rename '{entry}': the data have no class '{after}'.{did_you_mean(after, new)}")
    renamed = {before for before, _ in pairs}
    targets = [(index, after) for before, after in pairs for index, name in enumerate(old, 1) if name == before]
    for index, name in enumerate(old, 1):
        same = None if name in renamed else _same_name(name, new)
        targets += [] if same is None else [(index, same)]
    sources = tuple(tuple(sorted({index for index, after in targets if after == name})) for name in new)
    return sources, problems


def channel_origins(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[int | None, ...], list[str]]:
    """``Origins.channels`` and the channels of the model that none of the data is.

    Names are compared without regard to capitals. Where nobody named a channel its place counts; and a single channel
    is the single one, whatever it is called.
    """
    if len(old) == len(new) == 1:
        return (0,), []
    lower = [name.strip().lower() for name in old]
    origins: list[int | None] = []
    for place, name in enumerate(new):
        found = lower.index(name.strip().lower()) if name.strip().lower() in lower else None
        unnamed = place < len(old) and (UNNAMED.fullmatch(name) or UNNAMED.fullmatch(old[place]))
        origins.append(place if found is None and unnamed else found)
    origins = [source if source not in origins[:place] else None for place, source in enumerate(origins)]
    return tuple(origins), [name for index, name in enumerate(old) if index not in origins]


def class_text(old: Sequence[str], new: Sequence[str], origins: Origins) -> str:
    """What becomes of each class, for the reasons of a plan."""
    return "; ".join(_class_phrases(old, new, origins))


def _class_phrases(old: Sequence[str], new: Sequence[str], origins: Origins) -> Iterator[str]:
    shares = origins.shares
    kept = [name for name, sources in zip(new, origins.classes, strict=True) if [old[i - 1] for i in sources] == [name]]
    undivided = [name for name in kept if shares[old.index(name) + 1] == 1]
    if undivided:
        yield f"kept: {', '.join(undivided)}"
    for name, sources in zip(new, origins.classes, strict=True):
        before = [old[index - 1] for index in sources]
        if not before:
            yield f"new: {name}, which begins as what tells it best in the maps of the model"
        elif len(before) > 1:
            yield f"{name}: {', '.join(before)} in one"
        elif shares[sources[0]] > 1:
            yield f"{name}: a part of {before[0]}"
        elif before != [name]:
            yield f"{name}: was {before[0]}"
    dropped = [name for index, name in enumerate(old, 1) if not shares[index]]
    if dropped:
        yield f"dropped: {', '.join(dropped)}"


def channel_text(old: Sequence[str], new: Sequence[str], origins: Origins) -> str:
    """What becomes of each channel, for the reasons of a plan."""
    phrases = []
    pairs = [(name, old[source]) for name, source in zip(new, origins.channels, strict=True) if source is not None]
    kept = [name if name == before else f"{name}, which was {before}" for name, before in pairs]
    if kept:
        phrases.append(f"kept: {', '.join(kept)}")
    added = [name for name, source in zip(new, origins.channels, strict=True) if source is None]
    if added:
        phrases.append(f"new: {', '.join(added)}, at weight 0 until it is learned")
    dropped = [name for index, name in enumerate(old) if index not in origins.channels]
    if dropped:
        phrases.append(f"dropped: {some(dropped)}")
    return "; ".join(phrases)


def _same_name(name: str, names: Sequence[str]) -> str | None:
    if name in names:
        return name
    alike = [other for other in names if other.strip().lower() == name.strip().lower()]
    return alike[0] if len(alike) == 1 else None
