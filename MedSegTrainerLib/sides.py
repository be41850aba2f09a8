"""Left and right in class names: a model of them must not learn from mirror images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

CLEAR = {  # words that mean a side wherever they stand; left ones, then right ones
    "left": "left lh links linke linker linkes linken gauche sinister sinistra sinistrum sinistro sinistri "
    "izquierda izquierdo esquerda esquerdo 左",
    "right": "right rh rechts rechte rechter rechtes rechten droite droit dexter dextra dextrum destra destro destri "
    "derecha derecho direita direito 右",
}
SHORT = {"left": "l lt", "right": "r rt"}  # mean a side at the beginning or the end of a name: 'R lung', 'kidney_L'
IN_PAIRS = {"left": "sin sx li os", "right": "dex dx dext re od"}  # mean a side where the other one has a name too
GLUED = ("left", "right")  # 'leftkidney', where 'rightkidney' has a name too

Sides = dict[str, str]
"""Word to 'left' or 'right'."""


def why_not_mirror(names: Iterable[str]) -> str | None:
    """What a left-right mirror image would do to classes of these names, in words, or None if they have no side."""
    names = list(names)
    pair = left_right_pair(names)
    if pair:
        return f"mirroring would turn '{pair[0]}' into '{pair[1]}'"
    name = one_sided_name(names)
    return f"'{name}' lies on one side, and mirroring would move it to the other" if name else None


def left_right_pair(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that differ only in their side, the left one first, or None.

    'left kidney' and 'right kidney', 'kidney_L' and 'kidney_R', 'LeftKidney' and 'kidney right'.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        for side, rest in _readings(_words(name)):
            by_side = found.setdefault(rest, {})
            by_side.setdefault(side, name)
            if len(by_side) == 2:
                return by_side["left"], by_side["right"]
    return None


def one_sided_name(names: Iterable[str]) -> str | None:
    """The first name that tells a side by itself, or None: where only the left kidney is a class, the right one is
    background, and their mirror images are the other way round."""
    for name in names:
        words = _words(name)
        if any(word in _CLEAR for word in words):
            return name
        inner = len(words) > 1
        begins = inner and words[0] in _SHORT and not words[1].isdigit()  # 'L 5' is a vertebra
        if begins or (inner and words[-1] in _SHORT):
            return name
    return None


def _readings(words: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each way to read a name as a side and the rest: sorted, as 'left kidney' and 'kidney left' are the same."""
    for index, word in enumerate(words):
        others = [*words[:index], *words[index + 1 :]]
        if word in _ANY:
            yield _ANY[word], tuple(sorted(others))
        for side in GLUED:
            rest = word.removeprefix(side).removesuffix(side)
            if rest and rest != word:
                yield side, tuple(sorted([*others, rest]))


def _words(name: str) -> list[str]:
    """Words and numbers in lower case; 'LeftKidney', 'RLung', 'kidneyL' and '左肾' are two words each."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[左右])|(?=[左右])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+|\d+", split)]


def _sides(*tables: dict[str, str]) -> Sides:
    return {word: side for table in tables for side, words in table.items() for word in words.split()}


_CLEAR, _SHORT, _ANY = _sides(CLEAR), _sides(SHORT), _sides(CLEAR, SHORT, IN_PAIRS)
