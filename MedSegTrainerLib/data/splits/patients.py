"""Whose a case is: by the name of the case, by a table, or as the data set itself says."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import DataError, UsageError, some
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.files.regular_file import refuse_no_file

COLUMNS = ("case", "patient")
# BIDS (sub-01_ses-2), ACDC (patient001_frame01) and the like
LIKE_PATIENTS = ("^(sub-[A-Za-z0-9]+)", "(?i)^((?:patient|subject|subj|pat)[-_]?[0-9]+)")


def patients_of(cases: Sequence[Case], data: DataConfig) -> dict[str, str]:
    """Case name to patient; {} where nobody knows patients.

    Raises UsageError or DataError where a pattern or table leaves cases out, or cannot be read.
    """
    names = [case.name for case in cases]
    if data.patient_table:
        return _by_table(names, Path(data.patient_table))
    if data.patient_pattern:
        return _by_pattern(names, data.patient_pattern)
    patient_of = {case.name: case.patient for case in cases if case.patient}
    if patient_of and len(patient_of) < len(cases):
        missing = sorted(set(names) - set(patient_of))
        raise DataError(
            f"The data set names the patients of {len(patient_of)} cases only, not of {some(missing)}. "
            "Name them all, or give data.patient_table."
        )
    return patient_of


def patient_pattern_for(names: Sequence[str]) -> str:
    """A ``patient_pattern`` that fits names which look like several cases of some patients; '' where none does."""
    for pattern in LIKE_PATIENTS:
        matches = [re.match(pattern, name) for name in names]
        patients = {match[1] for match in matches if match}
        if all(matches) and 1 < len(patients) < len(names):
            return pattern
    return ""


def _by_pattern(names: Sequence[str], pattern: str) -> dict[str, str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"data.patient_pattern: {pattern!r} is no regular expression: {error}. An example: ^([^_]+)_"
        ) from None
    matches = {name: expression.search(name) for name in names}
    patients = {name: match[1] if expression.groups else match[0] for name, match in matches.items() if match}
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
    refuse_no_file(path, UsageError)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"The patient table {path} cannot be read: {error}. Save it as UTF-8 text.") from None
    return _from_json(text, path) if path.suffix.lower() == ".json" else _from_csv(text, path)


def _from_json(text: str, path: Path) -> dict[str, str]:
    document = parse_json(text, f"The patient table {path}")
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
