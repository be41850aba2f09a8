"""Inputs from public bug reports that went wrong for others (``shared/cases``): a row for every one.

A row is a command and what must come out of it. What a line of text cannot show (voxels, positions) is asked by
the test that ``ELSEWHERE`` names. Each folder has a README that says what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from MedSegTrainerLib.cli import main

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@dataclass(frozen=True, kw_only=True)
class Row:
    """``run``: words of a command, with {case} for the folder and {out} for a new one. Everything in ``says`` must be
    in what it prints, and nothing of ``never``."""

    run: str = "plan {case}"
    code: int = 0
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ("Traceback",)


TABLE: dict[str, Row] = {
    # --- geometry ---
    # --- label values, channels and pictures ---
    # --- apply, models ---
    # --- layouts, files and DICOM ---
    # --- settings and JSON ---
    "json_bom": Row(says=("layout nnU-Net",)),
}

ELSEWHERE: dict[str, str] = {  # folder to the file of tests that tries it
    # --- geometry ---
    # --- label values, channels and pictures ---
    # --- apply, models ---
    # --- layouts, files and DICOM ---
    # --- training ---
}


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"needs the inputs in {CASES}")
    return CASES


@pytest.mark.parametrize("name", TABLE)
def test_what_must_come_out(name: str, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = TABLE[name]
    with pytest.raises(SystemExit) as ended:
        main([word.format(case=cases / name, out=tmp_path / "out") for word in row.run.split()])
    shown = capsys.readouterr()
    text = " ".join((shown.out + shown.err).split())  # a console breaks lines where it is narrow
    assert (ended.value.code or 0) == row.code, text
    assert [words for words in row.says if words not in text] == [], text
    assert [words for words in row.never if words in text] == [], text
