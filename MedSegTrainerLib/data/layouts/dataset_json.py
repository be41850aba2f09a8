"""``dataset.json``, as the Medical Segmentation Decathlon and nnU-Net write it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.regular_file import refuse_unnameable

IGNORE = "ignore"
FILE = "dataset.json"


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file; {} where there is no file. Raises DataError where it holds something else."""
    if not path.exists():
        return {}
    try:
        description = read_json_file(path, DataError)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}. Correct it, or remove it.") from None
    if not isinstance(description, dict):
        raise DataError(f"{path} must hold an object ({{...}}). Correct it, or remove it.")
    return description


def read_description(root: Path) -> dict[str, Any]:
    return read_object(root / FILE)


def label_names(description: dict[str, Any], root: Path) -> dict[int, str]:
    """``labels`` of the dataset.json in ``root``: {'1': 'liver'} (Decathlon) or {'liver': 1} (nnU-Net).

    Regions of several values (``label_regions``) are numbered from 1 on in their order.
    """
    names: dict[int, str] = {}
    labels, path = description.get("labels") or {}, root / "dataset.json"
    if not isinstance(labels, dict):
        raise DataError(f"{path}: 'labels' must pair numbers with names, such as {{'1': 'liver'}}, not {labels}.")
    regions = label_regions(description, root)
    if regions:
        return dict(enumerate(regions, start=1))
    for key, value in labels.items():
        try:
            number, name = (value, str(key)) if type(value) is int else (int(key), value)
            if not isinstance(name, str):
                raise ValueError
        except ValueError:
            raise DataError(f"{path}: label {key!r}: {value!r} pairs no number with a name.") from None
        if number != 0 and name in names.values():
            raise DataError(f"{path}: two labels are named '{name}'. Give each class a name of its own.")
        if number != 0:
            names[number] = name
    return names


def ignored_value(description: dict[str, Any]) -> int | None:
    """The value that ``labels`` of a dataset.json calls 'ignore', as nnU-Net calls voxels that nobody labelled."""
    labels = description.get("labels")
    value = labels.get(IGNORE) if isinstance(labels, dict) else None
    return value if type(value) is int and value != 0 else None


def label_regions(description: dict[str, Any], root: Path) -> dict[str, tuple[int, ...]]:
    """Class name to label values, where ``labels`` has nnU-Net's regions of several values; {} where it has none.

    Background and what nobody labelled are no classes. Raises DataError where a region is no list of whole numbers.
    """
    labels, path = description.get("labels"), root / "dataset.json"
    if not isinstance(labels, dict) or not any(isinstance(value, list) for value in labels.values()):
        return {}
    sets = {str(name): value if isinstance(value, list) else [value] for name, value in labels.items()}
    if not all(values and all(type(value) is int for value in values) for values in sets.values()):
        raise DataError(f"{path}: 'labels' must pair names with whole numbers, or with lists of them.")
    regions = {name: tuple(values) for name, values in sets.items() if values != [0] and name != IGNORE}
    ignored = ignored_value(description)
    for name, values in regions.items():
        wrong = [value for value in values if value in (0, ignored)]
        if wrong:
            raise DataError(
                f"{path}: the region '{name}' has the value {wrong[0]}, which is that of the background or of voxels "
                "that nobody labelled. Leave it out."
            )
    return regions


def refuse_regions(regions: Mapping[str, Sequence[int]], path: Path) -> NoReturn:
    """Raises DataError with what to write in place of regions: each value once, under the smallest that has it."""
    classes: dict[str, int] = {}
    for value in dict.fromkeys(value for values in regions.values() for value in values):
        name = min((name for name, values in regions.items() if value in values), key=lambda name: len(regions[name]))
        classes[name if name not in classes else f"{name} {value}"] = value
    listed = ", ".join(f"'{name}' {list(values)}" for name, values in regions.items() if len(values) > 1)
    example = {"background": 0, **classes}
    raise DataError(
        f"{path}: labels are regions of several values ({listed}), as nnU-Net trains them, and data.overlapping is "
        f"false, where a class has one value. Leave that setting out, or write 'labels' with each value once, such as "
        f"{json.dumps(example)}; a region is then the sum of its classes in the results. Leave out "
        "'regions_class_order'."
    )


def channel_names(description: dict[str, Any], root: Path) -> tuple[str, ...]:
    """``channel_names`` (nnU-Net) or ``modality`` (Decathlon) of the dataset.json in ``root``; () without either."""
    channels = description.get("channel_names") or description.get("modality") or {}
    if not isinstance(channels, dict) or not all(isinstance(name, str) for name in channels.values()):
        raise DataError(
            f"{root / 'dataset.json'}: 'channel_names' must pair numbers with names, such as {{'0': 'CT'}}, not "
            f"{channels!s:.200}."
        )
    return tuple(channels[key] for key in sorted(channels, key=lambda key: (len(str(key)), str(key))))


def inside(root: Path, entry: Any) -> Path:
    """A file named by dataset.json; entries that lead out of the folder are refused."""
    refuse_unnameable(Path(str(entry)))
    path = root / os.path.normpath(str(entry))  # by its text: links inside the folder may lead anywhere
    if Path(os.path.normpath(str(entry))).is_absolute() or ".." in path.relative_to(root).parts:
        raise DataError(f"{root / 'dataset.json'}: {entry!r} lies outside the folder. Use paths inside it.")
    return path
