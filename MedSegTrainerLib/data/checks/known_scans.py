"""Scans of cases that an earlier job read, from the folder that jobs share."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from pydantic import TypeAdapter

from MedSegTrainerLib import atomic
from MedSegTrainerLib.cache_folder import discard, is_whole, mark_used
from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.shared_cases import SharedCases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.json_input import read_json_file

SCANNING_VERSION = 1  # raise it when a scan of the same files says something else
KINDS_OF_VALUES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind) for name, kind in get_type_hints(CaseScan).items() if name != "foreground"
}


def find_scan(shared: SharedCases, case: Case, ignore_label: int | None, *, thorough: bool) -> CaseScan | None:
    """The scan of a case with the same contents under whatever name; None where there is none, or it is damaged."""
    path = _place(shared, case, ignore_label, thorough)
    if path is None or not is_whole(path):
        return None
    try:
        values = read_json_file(path / "scan.json", DataError)
        foreground = np.load(path / "foreground.npy", allow_pickle=False)
        told = {name: kind.validate_python(values[name]) for name, kind in KINDS_OF_VALUES.items()}
        scan = CaseScan(foreground=foreground, **told)
        if (
            foreground.dtype != np.float32
            or foreground.shape[:-1] != (len(scan.low),)
            or len(scan.high) != len(scan.low)
        ):
            raise ValueError
    except (OSError, DataError, ValueError, KeyError, TypeError):
        discard(path)
        return None
    mark_used(path)
    return replace(scan, name=case.name, drawn=case.drawn, labelled_slices=case.labelled_slices)


def keep_scan(shared: SharedCases, case: Case, scan: CaseScan, ignore_label: int | None, *, thorough: bool) -> None:
    """Raises DataError where the files changed while they were read, and StorageError."""
    path = _place(shared, case, ignore_label, thorough)
    if path is None:
        return
    values = {name: value for name, value in asdict(scan).items() if name != "foreground"}

    def write(folder: Path) -> None:
        atomic.write_json(folder / "scan.json", values)
        np.save(folder / "foreground.npy", scan.foreground)

    shared.store(path, case, write)


def _place(shared: SharedCases, case: Case, ignore_label: int | None, thorough: bool) -> Path | None:
    follows_from = {"version": SCANNING_VERSION, "ignore_label": ignore_label, "thorough": thorough}
    return shared.entry("scans", case, follows_from)
