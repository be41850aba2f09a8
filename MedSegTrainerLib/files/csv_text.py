"""Rows as CSV text that a spreadsheet shows and never evaluates."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t")  # a cell that begins so is a formula to spreadsheets


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header. Text that a spreadsheet would evaluate gets an apostrophe in front, numbers stay numbers; None
    is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(value) for value in header])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which would end the row
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
