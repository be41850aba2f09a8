"""Labelled cases of a data set folder, found by the layouts people already have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import cast

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case, Dataset, IncompleteError, Part, SliceAxis
from MedSegTrainerLib.data.layouts.bids import bids
from MedSegTrainerLib.data.layouts.case_folders import case_folders
from MedSegTrainerLib.data.layouts.case_list import case_list
from MedSegTrainerLib.data.layouts.class_names import join_names
from MedSegTrainerLib.data.layouts.dataset_json import IGNORE, label_names, read_description
from MedSegTrainerLib.data.layouts.dicom_studies import dicom_studies
from MedSegTrainerLib.data.layouts.drawn_classes import checked_drawn, with_drawn
from MedSegTrainerLib.data.layouts.flat_folders import (
    array_files,
    decathlon,
    nnunet,
    one_folder,
    two_folders,
)
from MedSegTrainerLib.data.layouts.mask_folders import mask_folders
from MedSegTrainerLib.data.layouts.nearest_layout import what_is_missing
from MedSegTrainerLib.data.layouts.nnunet_list import nnunet_list
from MedSegTrainerLib.data.layouts.overlap import with_overlap, with_regions
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.files.regular_file import refuse_unnameable

UNLABELLED = -1
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
        error.dataset = _completed(with_regions(error.dataset, error.dataset.root), data, every_case=False)
        raise
    if dataset is None:
        raise DataError(f"No labelled images found in {root}. {what_is_missing(root)}")
    return _completed(dataset, data)


LAYOUTS: dict[str, Callable[[Path, DataConfig], Dataset | None]] = {
    "list of cases": lambda root, data: case_list(root),
    "list of nnU-Net": lambda root, data: nnunet_list(root),
    "nnU-Net": lambda root, data: nnunet(root),
    "Decathlon": lambda root, data: decathlon(root),
    "images and labels": lambda root, data: two_folders(root),
    "images beside masks": lambda root, data: one_folder(root),
    "BIDS": bids,
    "a folder of masks for each case": mask_folders,
    "a folder for each case": case_folders,
    "NPZ files": lambda root, data: array_files(root),
    "DICOM series with segmentations": lambda root, data: dicom_studies(root),
}


def _completed(dataset: Dataset, data: DataConfig, *, every_case: bool = True) -> Dataset:
    """With what is known of the classes, and whether they overlap, when all cases are found.

    every_case: as ``with_drawn`` has it.
    """
    drawn = with_drawn(join_names(dataset), dataset.root, every_case=every_case)
    known = checked_drawn(_with_ignored(_with_slices(drawn, data.labelled_slices), data))
    return with_overlap(known, data.overlapping)


def _with_slices(dataset: Dataset, setting: str) -> Dataset:
    """With the setting's ``labelled_slices`` in cases that say nothing of what is labelled in them."""
    usual = cast(SliceAxis, setting.removeprefix("none"))

    def axis(case: Case) -> SliceAxis:
        if case.labelled_slices == "none":
            return ""
        return case.labelled_slices if case.is_sparse else usual

    return replace(dataset, cases=tuple(replace(case, labelled_slices=axis(case)) for case in dataset.cases))


def _with_ignored(dataset: Dataset, data: DataConfig) -> Dataset:
    """With the setting's ``ignore_label``, else that of the data set, else of the value that it names 'ignore' as
    nnU-Net does; where slices or a box of a case are labelled, and there is none of these, -1 or the first below it
    that no class has."""
    value_of_name = next((value for value, name in dataset.label_names.items() if name == IGNORE), None)
    needed = any(case.is_sparse for case in dataset.cases)
    free = next(value for value in count(UNLABELLED, -1) if value not in dataset.label_names)
    given = (data.ignore_label, dataset.ignore_label, value_of_name, free if needed else None)
    ignored = next((value for value in given if value is not None), None)
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
    parts = {part: with_drawn(dataset, folders[part]) for part, dataset in recognised.items() if dataset is not None}
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
        looks={name: item for dataset in parts.values() for name, item in dataset.looks.items()},
        ignore_label=_joined_ignored(root, list(parts.values())),
        overlapping=any(dataset.overlapping for dataset in parts.values()),
    )
    return with_regions(dataset, root)


def _joined_ignored(root: Path, parts: list[Dataset]) -> int | None:
    values = sorted({dataset.ignore_label for dataset in parts if dataset.ignore_label is not None})
    if len(values) > 1:
        raise DataError(f"{root}: the parts have different 'ignore_label': {values}. Give all the same.")
    return values[0] if values else None


def _joined_names(root: Path, parts: list[Dataset]) -> dict[int, str]:
    names = label_names(read_description(root), root)
    for dataset in parts:
        differing = [value for value, name in dataset.label_names.items() if names.get(value, name) != name]
        if differing:
            conflicts = [f"{value} is '{names[value]}' and '{dataset.label_names[value]}'" for value in differing]
            raise DataError(f"{root}: the parts name label values differently: {some(conflicts)}. Give each one name.")
        names |= dataset.label_names
    return names
