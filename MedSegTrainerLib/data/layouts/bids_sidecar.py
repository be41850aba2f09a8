"""The JSON file beside a label map of BIDS: which images it was made of, and whether by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.json_input import read_json_file

SOURCES, MANUAL = "Sources", "Manual"


def sidecar_of(label_map: Path) -> Path:
    return label_map.with_name(label_map.name.partition(".")[0] + ".json")


def source_names(label_map: Path) -> set[str]:
    """Names of the files that a label map was made of; empty where nothing says it. Raises DataError."""
    listed = _read(label_map).get(SOURCES)
    return {str(source).rpartition("/")[2] for source in listed} if isinstance(listed, list) else set()


def is_by_program(label_map: Path) -> bool:
    """Whether it says that nobody drew or corrected it; raises DataError."""
    return _read(label_map).get(MANUAL) is False


def _read(label_map: Path) -> dict[str, Any]:
    path = sidecar_of(label_map)
    document = read_json_file(path, DataError) if path.is_file() else {}
    return document if isinstance(document, dict) else {}
