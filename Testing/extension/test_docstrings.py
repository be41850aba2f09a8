"""Every module says in a sentence what it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import package
import pytest

ROOT = package.ROOT
FOLDERS = ("MedSegTrainerLib", "MedSegTrainer/MedSegTrainerUI", "scripts")
SHORTEST = 3  # words


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def opening(source: str) -> str:
    """The first paragraph of a module's docstring in one line; '' without one."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def is_sentence(text: str) -> bool:
    return text.endswith((".", "?", ":")) and len(text.split()) >= SHORTEST


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_begins_with_a_sentence(folder: str) -> None:
    assert modules(folder)
    silent = [path.relative_to(ROOT).as_posix() for path in modules(folder)
              if not is_sentence(opening(path.read_text(encoding="utf-8")))]  # fmt: skip
    assert not silent, "give each a docstring whose first line says what it is for: " + " ".join(silent)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_two_modules_say_the_same(folder: str) -> None:
    said = [opening(path.read_text(encoding="utf-8")) for path in modules(folder)]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("source", ["", "import os", '"""Two words."""', '"""No end of a sentence"""'])
def test_less_is_none(source: str) -> None:
    assert not is_sentence(opening(source))
