"""A pattern that finds any of very many words in a text, in time that does not grow with their number."""

from __future__ import annotations

import re
from collections.abc import Iterable

NOTHING = re.compile(r"(?!)")


def pattern_of(words: Iterable[str]) -> re.Pattern[str]:
    """Matches the longest of the words that stands there, and none within a longer row of letters and digits."""
    listed = sorted({word for word in words if word})
    if not listed:
        return NOTHING
    return re.compile(rf"(?<![^\W_]){_branches(listed)}(?![^\W_])")


def _branches(words: list[str]) -> str:
    """Words that begin alike share that beginning, so that each character of a text is looked at once."""
    common = ""
    while len({word[:1] for word in words}) == 1 and words[0]:
        common += words[0][0]
        words = [word[1:] for word in words]
    rest: dict[str, list[str]] = {}
    for word in filter(None, words):
        rest.setdefault(word[0], []).append(word)
    if not rest:
        return re.escape(common)
    options = "|".join(map(_branches, rest.values()))
    return f"{re.escape(common)}(?:{options}){'?' if '' in words else ''}"
