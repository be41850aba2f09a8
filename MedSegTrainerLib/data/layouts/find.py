"""Labelled cases of a data set folder, found by the layouts people already have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Dataset, IncompleteError, Part
from MedSegTrainerLib.data.layouts.case_folders import case_folders
from MedSegTrainerLib.data.layouts.case_list import case_list
from MedSegTrainerLib.data.layouts.class_names import join_names
from MedSegTrainerLib.data.layouts.dataset_json import IGNORE, label_names, read_description
from MedSegTrainerLib.data.layouts.flat_folders import (
    array_files,
    decathlon,
    nnunet,
    one_folder,
    two_folders,
)
from MedSegTrainerLib.data.layouts.nearest_layout import what_is_missing
from MedSegTrainerLib.data.layouts.overlap import with_overlap, with_regions
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.files.regular_file import refuse_unnameable

PART_FOLDERS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def find_cases(root: Path, data: DataConfig | None = None) -> Dataset:
    """The data set in ``root``; its layout is recognised.

    data: the names of files in case folders (``image_names``, ``label_name``) and ``ignore_label`` are taken from it.
    Raises DataError where the folder is missing or no layout fits, and IncompleteError where files lack their
    counterpart.
    """
    refuse_unnameable(root)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}. Give the folder that holds the images and the labels.")
    data = data or DataConfig()
    try:
        dataset = _parts(root, data) or _recognise(root, data)
    except IncompleteError as error:
        error.dataset = _resolved(with_regions(error.dataset, error.dataset.root), data)
        raise
    if dataset is None:
        raise DataError(f"No labelled images found in {root}. {what_is_missing(root)}")
    return _resolved(dataset, data)


def _resolved(dataset: Dataset, data: DataConfig) -> Dataset:
    """With the meaning of all label values settled."""
    return with_overlap(_with_ignored(join_names(dataset), data), data.overlapping)


LAYOUTS: dict[str, Callable[[Path, DataConfig], Dataset | None]] = {
    "list of cases": lambda root, data: case_list(root),
    "nnU-Net": lambda root, data: nnunet(root),
    "Decathlon": lambda root, data: decathlon(root),
    "images and labels": lambda root, data: two_folders(root),
    "images beside masks": lambda root, data: one_folder(root),
    "a folder for each case": case_folders,
    "NPZ files": lambda root, data: array_files(root),
}


def _with_ignored(dataset: Dataset, data: DataConfig) -> Dataset:
    """With the setting's ``ignore_label``, else that of the value which the data set names 'ignore' as nnU-Net does."""
    value_of_name = next((value for value, name in dataset.label_names.items() if name == IGNORE), dataset.ignore_label)
    ignored = value_of_name if data.ignore_label is None else data.ignore_label
    if any(case.regions for case in dataset.cases):  # whose names are no label values
        return replace(dataset, ignore_label=ignored)
    names = {value: name for value, name in dataset.label_names.items() if value != ignored}
    return replace(dataset, label_names=names, ignore_label=ignored)


def _recognise(root: Path, data: DataConfig) -> Dataset | None:
    for find in LAYOUTS.values():
        dataset = find(root, data)
        if dataset is not None:
            return with_regions(dataset, root)
    return None


def _parts(root: Path, data: DataConfig) -> Dataset | None:
    """``train/`` with ``val/`` or ``test/`` or both, each with a layout of its own; ``test/`` may have no labels."""
    folders: dict[Part, Path] = {}
    for part, names in PART_FOLDERS.items():
        existing = [root / name for name in names if (root / name).is_dir()]
        if existing:
            folders[part] = existing[0]
    if "train" not in folders or len(folders) < 2:
        return None
    recognised = {part: _recognise(folder, data) for part, folder in folders.items()}
    parts = {part: dataset for part, dataset in recognised.items() if dataset is not None}
    if "train" not in parts:
        return None
    if "val" in folders and "val" not in parts:
        raise DataError(f"{folders['val']} holds no labelled images. Add them, or remove the folder.")
    all_names = [case.name for dataset in parts.values() for case in dataset.cases]
    # the same name in two of them means two cases: the part tells them apart
    ambiguous = len(set(all_names)) < len(all_names)
    cases = [
        replace(case, name=f"{part}_{case.name}" if ambiguous else case.name, part=part)
        for part, dataset in parts.items()
        for case in dataset.cases
    ]
    folder_names = [f"{folders[part].name}/" for part in parts]
    dataset = Dataset(
        root=root,
        layout=f"{' and '.join(folder_names)}, {parts['train'].layout}",
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        label_names=_joined_names(root, list(parts.values())),
        channel_names=parts["train"].channel_names,
        ignore_label=parts["train"].ignore_label,
        looks={name: item for dataset in parts.values() for name, item in dataset.looks.items()},
    )
    return with_regions(dataset, root)


def _joined_names(root: Path, parts: list[Dataset]) -> dict[int, str]:
    names = label_names(read_description(root), root)
    for dataset in parts:
        differing = [value for value, name in dataset.label_names.items() if names.get(value, name) != name]
        if differing:
            conflicts = [f"{value} is '{names[value]}' and '{dataset.label_names[value]}'" for value in differing]
            raise DataError(f"{root}: the parts name label values differently: {some(conflicts)}. Give each one name.")
        names |= dataset.label_names
    return names
