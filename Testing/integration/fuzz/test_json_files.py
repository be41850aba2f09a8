"""Whatever a file of JSON holds, the command that reads it does its work or says in words what is wrong.

A job that was trained and an evaluation of it are spoiled one file at a time. Commands run in this process; none may
take long, show a traceback, or write anything of a file to the terminal that a terminal obeys.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from good_root import command
from hostile import DEEP, runs, texts
from hypothesis import given
from hypothesis import strategies as st

FAST, SLOW = 25, 300
LONGEST = 10.0  # seconds of processor time of one command


@dataclass(frozen=True)
class Target:
    """A file, and the commands that read it. {root} is the folder of all."""

    path: str
    commands: tuple[str, ...]


TARGETS = {
    "settings": Target("settings.json", ("train {root}/data -o {root}/new --create --config {root}/settings.json",)),
    "workflow": Target("workflow.json", ("workflow {root}/workflow.json -o {root}/new --data {root}/data --validate",)),
    "metrics": Target("report/metrics.json", ("compare {root}/report {root}/other -o {root}/new",)),
}


@pytest.fixture
def spoil(root: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[Target, bytes], None]]:
    """Puts bytes in the place of a file and runs what reads it; the file is as before afterwards."""
    kept: dict[Path, bytes] = {}

    def run(target: Target, content: bytes) -> None:
        path = root / target.path
        kept.setdefault(path, path.read_bytes())
        path.write_bytes(content)
        for words in target.commands:
            started = time.process_time()
            command(words.replace(" ", "|").format(root=root))
            took = time.process_time() - started
            shown = capsys.readouterr()
            text = shown.out + shown.err
            shutil.rmtree(root / "new", ignore_errors=True)
            assert "Traceback" not in text and "should not happen" not in text
            assert "\x1b[2J" not in text and "\x07" not in text, text
            assert took < LONGEST, (took, text)

    yield run
    for path, content in kept.items():
        path.write_bytes(content)


def inputs(root: Path, name: str) -> st.SearchStrategy[bytes]:
    return texts(json.loads((root / TARGETS[name].path).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", TARGETS)
def test_files(root: Path, spoil: Callable[[Target, bytes], None], name: str) -> None:
    runs(FAST)(given(inputs(root, name))(lambda content: spoil(TARGETS[name], content)))()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_files_often(root: Path, spoil: Callable[[Target, bytes], None], name: str) -> None:
    runs(SLOW)(given(inputs(root, name))(lambda content: spoil(TARGETS[name], content)))()


HOSTILE: dict[str, Any] = {
    "nothing": b"", "a list": b"[]", "a number": b"7", "null": b"null", "an empty object": b"{}",
    "nested": b"[" * DEEP + b"]" * DEEP, "nested objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a number of many digits": b'{"seed": ' + b"9" * DEEP + b"}", "a key twice": b'{"seed": 1, "seed": 2}',
    "no text": bytes(range(256)), "a lone surrogate": b'{"a": "\\ud800"}', "not a number": b'{"seed": NaN}',
    "many keys": json.dumps({f"key {number}": number for number in range(50_000)}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files(root: Path, spoil: Callable[[Target, bytes], None], name: str, what: str) -> None:
    spoil(TARGETS[name], HOSTILE[what])


@pytest.mark.parametrize("name", ["settings", "workflow", "metrics"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_windows_are_read(root: Path, name: str, encoding: str) -> None:
    """As Notepad and PowerShell write them."""
    path = root / TARGETS[name].path
    before = path.read_bytes()
    path.write_bytes(before.decode("utf-8").encode(encoding))
    try:
        for words in TARGETS[name].commands:
            assert command(words.replace(" ", "|").format(root=root)) == 0
    finally:
        path.write_bytes(before)
        shutil.rmtree(root / "new", ignore_errors=True)
