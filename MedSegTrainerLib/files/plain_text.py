"""Text of job folders and models on a terminal: what would command the terminal is shown instead.

A case, a class or a message can be named so that printing it moves the cursor, sets the window's title or hides words.
"""

from __future__ import annotations

import re

# C0 and C1 but for line feed and tab, and what turns the direction of writing around
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: object) -> str:
    """Control characters as Python writes them, ``\\x1b`` for the one that begins a command."""
    return CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), str(text))
