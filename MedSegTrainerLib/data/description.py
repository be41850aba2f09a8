"""``dataset.json``, as the Medical Segmentation Decathlon and nnU-Net write it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.json_input import read_json_file


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file; {} where there is no file or something else in it."""
    if not path.exists():
        return {}
    try:
        description = read_json_file(path, DataError)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}. Correct it, or remove it.") from None
    return description if isinstance(description, dict) else {}


def read_description(root: Path) -> dict[str, Any]:
    return read_object(root / "dataset.json")


def label_names(description: dict[str, Any]) -> dict[int, str]:
    """``labels`` of a dataset.json: {'1': 'liver'} (Decathlon) or {'liver': 1} (nnU-Net)."""
    names: dict[int, str] = {}
    labels = description.get("labels") or {}
    if not isinstance(labels, dict):
        raise DataError(f"dataset.json: 'labels' must pair numbers with names, such as {{'1': 'liver'}}, not {labels}.")
    for key, value in labels.items():
        if isinstance(value, list):
            raise DataError(f"dataset.json: label '{key}' is a region of values {value}; give one value a class.")
        try:
            number, name = (int(value), str(key)) if isinstance(value, int) else (int(key), str(value))
        except ValueError:
            raise DataError(f"dataset.json: label {key!r}: {value!r} pairs no number with a name.") from None
        if number != 0 and name in names.values():
            raise DataError(f"dataset.json: two labels are named '{name}'. Give each class a name of its own.")
        if number != 0:
            names[number] = name
    return names


def channel_names(description: dict[str, Any]) -> tuple[str, ...]:
    channels = description.get("channel_names") or description.get("modality") or {}
    if not isinstance(channels, dict):
        return ()
    return tuple(str(channels[key]) for key in sorted(channels, key=lambda key: (len(str(key)), str(key))))


def inside(root: Path, entry: Any) -> Path:
    """A file named by dataset.json; entries that lead out of the folder are refused."""
    path = root / os.path.normpath(str(entry))  # by its text: links inside the folder may lead anywhere
    if Path(os.path.normpath(str(entry))).is_absolute() or ".." in path.relative_to(root).parts:
        raise DataError(f"{root / 'dataset.json'}: {entry!r} lies outside the folder. Use paths inside it.")
    return path
