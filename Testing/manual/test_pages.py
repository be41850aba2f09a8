"""Links lead somewhere, pictures are there, nothing is written that follows from the code and is out of date."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import manual
import pytest
from markdown_pages import CONTRIBUTING, DOCS, PAGES, ROOT, Page, every_block

from MedSegTrainerLib.jobs.kinds import JOB_KINDS

GUIDES = ("TRAINING.md", "NETWORK_ARCHITECTURES.md", "DATALOADER.md", "TESTING_VISUALIZATION.md")  # of the user's guide
PUBLIC_MODULES = {"api", "config", "events", "job", "errors"}
LANGUAGES = {"", "bash", "python", "json"}
SOURCES = ("MedSegTrainerLib", "MedSegTrainer", "scripts")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
class TestPage:
    def test_links_and_pictures_are_there(self, page: Page) -> None:
        by_path = {other.path: other for other in PAGES}
        for link in page.links:
            if link.startswith("http"):
                continue
            target, _, anchor = link.partition("#")
            path = (page.path.parent / target).resolve() if target else page.path
            assert path.exists(), f"{page.name}: {link}"
            assert ROOT in path.parents
            if anchor:
                assert anchor in by_path[path].anchors, (
                    f"{page.name}: {link}; there are {sorted(by_path[path].anchors)}"
                )

    def test_has_a_title_and_known_blocks(self, page: Page) -> None:
        assert page.text.startswith("# ") and page.text.endswith("\n") and "\r" not in page.text
        assert page.languages <= LANGUAGES

    def test_names_public_modules_alone(self, page: Page) -> None:
        if page == CONTRIBUTING:
            return
        assert set(re.findall(r"\bMedSegTrainerLib\.(\w+)", page.text)) <= PUBLIC_MODULES
        assert not re.search(r"MedSegTrainer(Lib|UI)/\w", page.text)


def test_the_pages_that_the_guide_links_to_exist() -> None:
    for name in GUIDES:
        assert (DOCS / name).is_file()


def test_every_page_is_in_the_index() -> None:
    index = next(page for page in PAGES if page.path == DOCS / "README.md")
    assert {page.path.name for page in PAGES[1:] if page is not index} <= set(index.links)


def test_every_picture_is_shown() -> None:
    shown = {(page.path.parent / link).resolve() for page in PAGES for link in page.links}
    pictures = {path for path in (ROOT / "Resources" / "Screenshots").iterdir() if path.suffix in (".png", ".gif")}
    assert pictures and pictures <= shown


def test_a_newcomer_can_read_the_first_page() -> None:
    assert len(PAGES[0].text.splitlines()) <= 180


def test_options_and_settings_are_those_of_the_code() -> None:
    texts = {page.name: text for page, text in manual.pages().items()}
    for name, text in texts.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, "run: python scripts/manual.py"
    assert texts.keys() == {"COMMAND_LINE.md", "SETTINGS.md"}
    assert "`--tta-transform` NAME" in texts["COMMAND_LINE.md"] and "--expect" not in texts["COMMAND_LINE.md"]
    row = "| `gradient_clip` | Largest gradient; none leaves it as it is. | `auto` | `auto`, `null`, number from 1e-09"
    assert row in texts["SETTINGS.md"]
    for kind in JOB_KINDS.keys() - {"train"}:
        assert f"### Jobs of kind `{kind}`" in texts["SETTINGS.md"]


def test_json_is_right() -> None:
    for where, block in every_block("json"):
        try:
            json.loads(block.text)
        except ValueError as error:
            pytest.fail(f"{where}: {error}")


def test_what_the_program_says_of_the_manual_is_there() -> None:
    """Texts that send somebody to a page or a heading, in the code of library, module and scripts."""
    sent: set[str] = set()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for text in _texts(path):
                assert not re.search(r"\bthe README\b", text), f"{path}: {text}"
                sent |= {found[0] for found in re.finditer(r"Resources/docs/\w+\.md", text)}
                sent |= {found[1] for found in re.finditer(r"the page (\w+) of the manual", text)}
                sent |= {found[1] for found in re.finditer(r"the manual says[^']{0,12}'([^']+)'", text)}
    titles = {title for page in PAGES for title in re.findall(r"^#+ (.+)$", page.prose, re.MULTILINE)}
    assert sent >= {"Data", "A computer without Internet", "Resources/docs/README.md", "Resources/docs/DATALOADER.md"}
    for name in sent:
        assert name in titles or (ROOT / name).is_file(), name


def _texts(path: Path) -> list[str]:
    """The texts in a file of Python but for docstrings, which are for whoever reads the code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in alone]
    return [node.value for node in constants if isinstance(node.value, str)]
