"""The commands of the page about what to do when something goes wrong exist, with the options that it gives them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from MedSegTrainerLib.cli.main import COMMANDS, main
from MedSegTrainerLib.job_logging import LEVEL_VARIABLE, is_log_line
from MedSegTrainerLib.jobs.support import DOCUMENTS, LOGS

PAGE = (Path(__file__).resolve().parents[3] / "Resources" / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
LINES = re.findall(r"^medsegtrainer (.+)$|`medsegtrainer ([^`]+)`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("arguments", [shlex.split(block or inline) for block, inline in LINES], ids=" ".join)
def test_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments[0] in COMMANDS
    with pytest.raises(SystemExit) as ended:
        main([arguments[0], "--help"])
    assert ended.value.code == 0
    options = re.findall(r"(?<!\S)--?[a-z][a-z-]*", capsys.readouterr().out.replace(",", " "))
    assert [word for word in arguments if word.startswith("-") and word not in options] == []


def test_log_and_members_are_what_it_says() -> None:
    assert len(LINES) >= 9 and LEVEL_VARIABLE in PAGE
    examples = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
    assert len(examples) == 3 and all(map(is_log_line, examples))
    assert [name for name in (*DOCUMENTS, *LOGS) if f"`{name}`" not in PAGE] == []
