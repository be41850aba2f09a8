"""What nnU-Net's ``dataset.json`` says of a model: its classes or regions, and its channels; standard library only.

Classes are numbered 0, 1, 2, ... without gaps, for a logit's place is its label. Where any is a list of several
numbers, all are regions with a sigmoid each, in the order of the file (nnU-Net's ``LabelManager``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MedSegTrainerLib.classes import default_color
from MedSegTrainerLib.files.typed import fits

BACKGROUND, IGNORE = "background", "ignore"
Problems = list[str]


def class_entries(dataset: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """``classes``, ``overlapping`` and ``ignore_label`` of a plan; adds to ``problems`` what is wrong."""
    labels = _as_numbers(dataset.get("labels"))
    if not fits(labels, dict[str, int | list[int]]) or not labels:
        problems.append("dataset.json: labels must pair names with whole numbers, or with lists of them.")
        return {"classes": [], "overlapping": False, "ignore_label": None}
    ignore = labels.get(IGNORE)
    if isinstance(ignore, list):
        problems.append(f"dataset.json: the label '{IGNORE}' is {ignore}, and must be one number.")
        ignore = None
    named = {name: value if isinstance(value, list) else [value] for name, value in labels.items() if name != IGNORE}
    if named.get(BACKGROUND) != [0]:
        problems.append(f"dataset.json: labels must have '{BACKGROUND}' with the number 0.")
    overlapping = any(len(value) > 1 for value in named.values())
    numbers = sorted({number for value in named.values() for number in value})
    if numbers != list(range(len(numbers))):
        problems.append(f"dataset.json: labels are {numbers[:20]}, and must be 0, 1, 2, ... without gaps.")
    if ignore is not None and ignore != len(numbers):
        problems.append(f"dataset.json: the label '{IGNORE}' is {ignore}, and must be the highest, {len(numbers)}.")
    classes = {name: value for name, value in named.items() if set(value) != {0}}
    if overlapping:
        values = {name: place for place, name in enumerate(classes, start=1)}
    else:
        values = {name: value[0] for name, value in sorted(classes.items(), key=lambda item: item[1]) if value}
    entries = [
        {"value": value, "name": name, "color": list(default_color(place)), "terminology": ""}
        for place, (name, value) in enumerate(values.items())
    ]
    return {"classes": entries, "overlapping": overlapping, "ignore_label": ignore}


def channel_names(dataset: Mapping[str, Any], problems: Problems) -> list[str]:
    """Names of the channels in their order, of ``channel_names`` or, as older files call them, ``modality``."""
    names = dataset.get("modality", dataset.get("channel_names"))
    if not fits(names, dict[str, str]) or not names or {*names} != {str(place) for place in range(len(names))}:
        problems.append("dataset.json: channel_names must pair '0', '1', ... with names.")
        return []
    return [names[str(place)] for place in range(len(names))]


def _as_numbers(value: Any) -> Any:
    """Labels with their numbers as numbers: nnU-Net takes them as texts too."""
    if isinstance(value, dict):
        return {name: _as_numbers(number) for name, number in value.items()}
    if isinstance(value, list):
        return [_as_numbers(number) for number in value]
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
