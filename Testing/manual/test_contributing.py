"""The page for contributors against the tree: the layers, the packages and folders, and where things are."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import CONTRIBUTING, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIBRARY, PANEL = ROOT / "MedSegTrainerLib", ROOT / "MedSegTrainer" / "MedSegTrainerUI"
BEHAVIOURS = 27
FILE = re.compile(r"`([\w/]+\.py)`(?: \(((?:`\w+`(?:, )?)+)\))?")


def rows(first: str) -> list[list[str]]:
    """The rows, without heading, of the table whose heading begins so."""
    lines = CONTRIBUTING.prose.partition(f"| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def packages(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def contracts() -> dict[str, Any]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["name"]: contract for contract in document["tool"]["importlinter"]["contracts"]}


@pytest.mark.parametrize(("number", "name"), list(enumerate(["Layers of the library", "Layers of the panel"])))
def test_the_picture_is_the_contract(number: int, name: str) -> None:
    lines = CONTRIBUTING.blocks("")[number].text.splitlines()
    drawn = [re.split(r"\s{2,}", line)[0] for line in lines if line[0].isalpha()]
    assert drawn == [layer for layer in contracts()[name]["layers"] if layer != "__main__"]


def test_what_is_below_the_rule_is_standard_library() -> None:
    contract = contracts()["What Slicer imports is standard library"]
    lines = CONTRIBUTING.blocks("")[0].text.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("---"))
    below = {
        name for line in lines[rule + 1 :] if line[0].isalpha() for name in re.split(r"\s{2,}", line)[0].split(" | ")
    }
    modules = {module.split(".")[1] for module in contract["source_modules"]}
    assert below == modules - {"model"}  # of which only the description is


def test_each_package_has_a_row() -> None:
    assert {row[0].strip("`") for row in rows("package")} == packages(LIBRARY)


def test_each_folder_of_the_panel_has_a_row() -> None:
    folders = [row[0].strip("`") for row in rows("folder")]
    assert set(folders) == packages(PANEL)


def test_the_scripts_are_there() -> None:
    [text] = re.findall(r"^\| `scripts` \| (.+) \|$", CONTRIBUTING.text, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", text))
    assert named == {path.stem for path in (ROOT / "scripts").glob("*.py")} - {"frames"}  # a part of animation


def test_paths_are_there() -> None:
    """Files and folders anywhere on the page, but for those that an example adds."""
    new = {block.before.split("`")[1] for block in CONTRIBUTING.blocks("python")}
    named = {
        code for code in CONTRIBUTING.inline_code if re.fullmatch(r"[\w./]+/[\w./-]+|\w+\.(py|txt|toml|cff)", code)
    }
    assert len(named) > 30
    lost = [
        code
        for code in named - new
        if not any((base / code).exists() for base in (ROOT, ROOT / "MedSegTrainer", LIBRARY, PANEL))
    ]
    assert sorted(lost) == []


def defined(path: Path) -> set[str]:
    """The functions, classes and constants of a file."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


ANSWERS = rows("what")


@pytest.mark.parametrize(("what", "where"), ANSWERS, ids=[what for what, _ in ANSWERS])
def test_it_is_where_the_page_says(what: str, where: str) -> None:
    found = FILE.findall(where)
    assert found
    for name, codes in found:
        path = (PANEL if where.startswith("panel: ") else LIBRARY) / name
        assert path.is_file(), name
        assert set(re.findall(r"`(\w+)`", codes)) <= defined(path), name


def test_all_behaviours_have_an_answer() -> None:
    assert len(ANSWERS) == len({what for what, _ in ANSWERS}) == BEHAVIOURS
