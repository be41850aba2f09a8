"""What a spreadsheet makes of the cells."""

from __future__ import annotations

import csv
import io

import pytest

from MedSegTrainerLib.files.csv_text import csv_text


def cells(*row: object) -> list[str]:
    return list(csv.reader(io.StringIO(csv_text(["name"] * len(row), [row]))))[1]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "  =cmd|' /C calc'!A0"])
def test_text_is_no_formula(name: str) -> None:
    assert cells(name) == [f"'{name}"]


def test_a_line_break_of_old_macs_starts_no_row() -> None:
    assert cells("liver\r=1") == ["liver =1"]
    assert cells("\r=1") == ["' =1"]


def test_numbers_and_other_text_stay() -> None:
    assert cells(-0.5, 3, None, "liver, left", "a=b") == ["-0.5", "3", "", "liver, left", "a=b"]


def test_a_header_may_be_a_name_too() -> None:
    assert csv_text(["=1"], []) == "'=1\n"
