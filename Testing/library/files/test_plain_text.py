"""Text that would command a terminal."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.files.plain_text import plain


@pytest.mark.parametrize(
    ("text", "displayed"),
    [
        ("\x1b]0;owned\x07liver", "\\x1b]0;owned\\x07liver"), ("\x9b2J", "\\x9b2J"), ("a\rb\x7f", "a\\rb\\x7f"),
        ("\u202egpj.exe", "\\u202egpj.exe"), ("two\nlines\tand é 肝", "two\nlines\tand é 肝"), (5, "5"),
    ],
)  # fmt: skip
def test_is_shown(text: object, displayed: str) -> None:
    assert plain(text) == displayed
