"""Whose a case is: by the name of the case, by a table, or as the data set itself says."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from MedSegTrainerLib.config import DataConfig
from MedSegTrainerLib.data.dataset import Case, some
from MedSegTrainerLib.errors import DataError, UsageError

COLUMNS = ("case", "patient")


def patients_of(cases: Sequence[Case], data: DataConfig) -> dict[str, str]:
    """Case name to patient; {} where nobody knows patients.

    Raises UsageError or DataError where a pattern or table leaves cases out, or cannot be read.
    """
    names = [case.name for case in cases]
    if data.patient_table:
        return _by_table(names, Path(data.patient_table))
    if data.patient_pattern:
        return _by_pattern(names, data.patient_pattern)
    told = {case.name: case.patient for case in cases if case.patient}
    if told and len(told) < len(cases):
        missing = sorted(set(names) - set(told))
        raise DataError(
            f"The data set names the patients of {len(told)} cases only, not of {some(missing)}. "
            "Name them all, or give data.patient_table."
        )
    return told


def _by_pattern(names: Sequence[str], pattern: str) -> dict[str, str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"data.patient_pattern: {pattern!r} is no regular expression: {error}. An example: ^([^_]+)_"
        ) from None
    found = {name: expression.search(name) for name in names}
    patients = {name: match[1] if expression.groups else match[0] for name, match in found.items() if match}
    missing = sorted(name for name in names if not patients.get(name))
    if missing:
        raise UsageError(
            f"data.patient_pattern: {pattern!r} finds no patient in {len(missing)} names: {some(missing)}. "
            "Change it so that it fits every name."
        )
    return patients


def _by_table(names: Sequence[str], path: Path) -> dict[str, str]:
    table = _read_table(path)
    missing = sorted(name for name in names if not table.get(name))
    if missing:
        raise DataError(f"{path} names no patient for {len(missing)} cases: {some(missing)}. Add them.")
    return {name: table[name] for name in names}


def _read_table(path: Path) -> Mapping[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"The patient table {path} does not exist. Check the path.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"The patient table {path} cannot be read: {error}. Save it as UTF-8 text.") from None
    return _from_json(text, path) if path.suffix.lower() == ".json" else _from_csv(text, path)


def _from_json(text: str, path: Path) -> dict[str, str]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The patient table {path} cannot be read: {error}. Write {{case: patient}}.") from None
    if not isinstance(document, dict) or not all(isinstance(value, (str, int)) for value in document.values()):
        raise UsageError(f"{path} must be an object {{case: patient, ...}}.")
    return {str(case): str(patient) for case, patient in document.items()}


def _from_csv(text: str, path: Path) -> dict[str, str]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter)
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    if not set(COLUMNS) <= columns.keys():
        raise UsageError(f"{path} needs the columns 'case' and 'patient' in its first line, not {head.strip()!r}.")
    case, patient = (columns[name] for name in COLUMNS)
    return {(row[case] or "").strip(): (row[patient] or "").strip() for row in rows}
