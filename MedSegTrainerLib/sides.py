"""Left and right in class names: a model of them must not learn from mirror images."""

from __future__ import annotations

import re
from collections.abc import Iterable

SIDES = {"left": "right", "l": "r", "lt": "rt", "links": "rechts", "gauche": "droite", "sin": "dex"}


def left_right_pair(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that differ only in their side ('left kidney' and 'right kidney', 'kidney_L' and
    'kidney_R'), or None."""
    by_words = {tuple(_words(name)): name for name in names}
    for words, name in by_words.items():
        for index, word in enumerate(words):
            other = (*words[:index], SIDES.get(word, ""), *words[index + 1 :])
            if word in SIDES and other in by_words:
                return name, by_words[other]
    return None


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
