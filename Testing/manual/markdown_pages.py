"""The pages of the manual, taken apart: blocks of code, inline code, links and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """Fenced code. line: of its first line, counted from 1. before: the line of prose that it follows."""

    language: str
    text: str
    line: int
    before: str


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def _parts(self) -> tuple[list[Block], str]:
        """The blocks, and the text without them; raises ValueError for a block without an end."""
        blocks: list[Block] = []
        prose: list[str] = []
        inside: list[str] | None = None
        language, start = "", 0
        for number, line in enumerate(self.text.splitlines(), start=1):
            fence = FENCE.match(line)
            if inside is None and fence:
                inside, language, start = [], fence[1], number + 1
            elif inside is not None and line == "```":
                before = next((said for said in reversed(prose) if said), "")
                blocks.append(Block(language=language, text="\n".join(inside) + "\n", line=start, before=before))
                inside = None
            elif inside is not None:
                inside.append(line)
            else:
                prose.append(line)
        if inside is not None:
            raise ValueError(f"{self.name}: the block of line {start} has no end")
        return blocks, "\n".join(prose)

    def blocks(self, language: str) -> list[Block]:
        return [block for block in self._parts[0] if block.language == language]

    @property
    def languages(self) -> set[str]:
        return {block.language for block in self._parts[0]}

    @property
    def prose(self) -> str:
        return self._parts[1]

    @property
    def inline_code(self) -> list[str]:
        return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", self.prose)]

    @property
    def links(self) -> list[str]:
        """The targets of links and pictures."""
        return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", self.prose))

    @property
    def anchors(self) -> set[str]:
        """What can stand behind ``#``, as GitHub makes it of the headings."""
        titles = re.findall(r"^#{1,6} (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


DOCS = ROOT / "Resources" / "docs"
PAGES = [Page(ROOT / "README.md"), *(Page(path) for path in sorted(DOCS.glob("*.md")))]
CONTRIBUTING = Page(DOCS / "CONTRIBUTING.md")  # its Python is run by integration/test_additions.py


def every_block(language: str) -> list[tuple[str, Block]]:
    """Each block of a language with where it stands: ``README.md:12``."""
    return [(f"{page.name}:{block.line}", block) for page in PAGES for block in page.blocks(language)]
