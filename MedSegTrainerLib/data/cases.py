"""Labelled cases of a data set folder, found by the layouts people already have."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MedSegTrainerLib.data.images import case_name, image_files
from MedSegTrainerLib.errors import DataError

IMAGE_PREFIX = re.compile(r"^(image|img)[_-]", re.IGNORECASE)
LABEL_PREFIX = re.compile(r"^(mask|label|seg)[_-]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of one patient: an image file for each channel (or one with all of them) and the label map."""

    name: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a folder holds. ``label_names`` maps label values to names, where the data set knows them."""

    root: Path
    layout: str
    cases: tuple[Case, ...]
    label_names: dict[int, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()


def find_cases(root: Path) -> Dataset:
    """The data set in ``root``; its layout is recognised.

    Raises DataError where the folder is missing, no layout fits, or files lack their counterpart.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}. Give the folder that holds the images and the labels.")
    for find in LAYOUTS.values():
        dataset = find(root)
        if dataset is not None:
            return dataset
    raise DataError(
        f"No labelled images found in {root}. Expected one of: images/ and labels/ (or masks/) with equal file names; "
        "image_0001.* beside mask_0001.*; "
        "a Decathlon folder with dataset.json; an nnU-Net folder with imagesTr/CASE_0000.* and labelsTr/CASE.*."
    )


def match_numbers(
    predicted: Mapping[str, list[Path]], references: Mapping[str, list[Path]]
) -> Mapping[str, list[Path]]:
    """References under the names of the predictions where they only share a number: image_0001 and mask_0001.

    Images that lie beside such masks are left out.
    """
    masks = {name: paths for name, paths in references.items() if not IMAGE_PREFIX.match(name)}
    if not masks or masks.keys() & predicted.keys() or not all(LABEL_PREFIX.match(name) for name in masks):
        return references
    name_of = {IMAGE_PREFIX.sub("", name): name for name in predicted}
    return {name_of.get(LABEL_PREFIX.sub("", name), name): paths for name, paths in masks.items()}


def _nnunet(root: Path) -> Dataset | None:
    """``imagesTr/CASE_0000.ext`` (one file a channel) and ``labelsTr/CASE.ext``."""
    images, labels = root / "imagesTr", root / "labelsTr"
    if not images.is_dir() or not labels.is_dir():
        return None
    channels: dict[str, dict[int, Path]] = {}
    for path in image_files(images):
        name, _, number = case_name(path).rpartition("_")
        if len(number) != 4 or not number.isdigit() or not name:
            return None
        channels.setdefault(name, {})[int(number)] = path
    by_name = _by_name(labels)
    if not channels.keys() & by_name.keys():
        return None
    _refuse_unpaired(set(channels), set(by_name), images, labels)
    description = _read_description(root)
    counts = {name: len(files) for name, files in channels.items()}
    most = max(counts.values())
    short = sorted(name for name, files in channels.items() if sorted(files) != list(range(most)))
    if short:
        raise DataError(
            f"Of {most} channels some are missing in {images}: {_some(short)}. Add CASE_0000 and following."
        )
    cases = tuple(
        Case(name=name, images=tuple(channels[name][i] for i in range(most)), label=by_name[name])
        for name in sorted(channels)
    )
    return Dataset(
        root=root, layout="nnU-Net", cases=cases,
        label_names=_label_names(description), channel_names=_channel_names(description),
    )  # fmt: skip


def _decathlon(root: Path) -> Dataset | None:
    """Medical Segmentation Decathlon: ``dataset.json`` lists the training pairs."""
    description = _read_description(root)
    if not isinstance(description.get("training"), list):
        return None
    cases, missing = [], []
    for entry in description["training"]:
        if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
            raise DataError(
                f"{root / 'dataset.json'}: each entry of 'training' needs 'image' and 'label', not {entry!r}."
            )
        image, label = _inside(root, entry["image"]), _inside(root, entry["label"])
        missing += [str(path) for path in (image, label) if not path.exists()]
        cases.append(Case(name=case_name(image), images=(image,), label=label))
    if missing:
        raise DataError(
            f"{root / 'dataset.json'} lists {len(missing)} files that are not there: {_some(missing)}. "
            "Add the files, or remove their entries."
        )
    if not cases:
        raise DataError(f"{root / 'dataset.json'} lists no training cases.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{root / 'dataset.json'} lists several images of one name: {_some(twice)}. Rename them.")
    return Dataset(
        root=root, layout="Decathlon", cases=tuple(sorted(cases, key=lambda case: case.name)),
        label_names=_label_names(description), channel_names=_channel_names(description),
    )  # fmt: skip


def _two_folders(root: Path) -> Dataset | None:
    """``images/`` and ``labels/`` or ``masks/`` (also ``imagesTr``/``labelsTr``), paired by equal names."""
    for images_name, labels_name in (("images", "labels"), ("images", "masks"), ("imagesTr", "labelsTr")):
        images, labels = root / images_name, root / labels_name
        if not images.is_dir() or not labels.is_dir():
            continue
        image_of, label_of = _by_name(images), _by_name(labels)
        if not image_of and not label_of:
            continue
        if not image_of.keys() & label_of.keys():
            image_of, label_of = _by_number(image_of, IMAGE_PREFIX), _by_number(label_of, LABEL_PREFIX)
        _refuse_unpaired(set(image_of), set(label_of), images, labels)
        return _pairs(root, f"{images_name}/ and {labels_name}/", image_of, label_of)
    return None


def _one_folder(root: Path) -> Dataset | None:
    """``image_0001.ext`` beside ``mask_0001.ext``."""
    files = _by_name(root)
    image_of = _by_number({name: path for name, path in files.items() if IMAGE_PREFIX.match(name)}, IMAGE_PREFIX)
    label_of = _by_number({name: path for name, path in files.items() if LABEL_PREFIX.match(name)}, LABEL_PREFIX)
    if not image_of.keys() & label_of.keys():
        return None
    _refuse_unpaired(set(image_of), set(label_of), root, root)
    return _pairs(root, "image_* and mask_* files", image_of, label_of)


def _pairs(root: Path, layout: str, image_of: dict[str, Path], label_of: dict[str, Path]) -> Dataset:
    """Cases under the names of their image files, which are also those of what is predicted for them."""
    description = _read_description(root)
    return Dataset(
        root=root,
        layout=layout,
        cases=tuple(
            Case(name=case_name(image_of[key]), images=(image_of[key],), label=label_of[key])
            for key in sorted(image_of)
        ),
        label_names=_label_names(description),
        channel_names=_channel_names(description),
    )


LAYOUTS: dict[str, Callable[[Path], Dataset | None]] = {
    "nnU-Net": _nnunet,
    "Decathlon": _decathlon,
    "images and labels": _two_folders,
    "images beside masks": _one_folder,
}


def _by_name(folder: Path) -> dict[str, Path]:
    """The image files of a folder by case name; two of one name are refused, for one would be lost unseen."""
    found: dict[str, Path] = {}
    for path in image_files(folder):
        other = found.setdefault(case_name(path), path)
        if other is not path:
            raise DataError(f"{other} and {path.name} have the same case name. Keep one, or rename the other.")
    return found


def _by_number(files: dict[str, Path], prefix: re.Pattern[str]) -> dict[str, Path]:
    """The files by what stands behind their prefix; as they are where that is not unique."""
    numbered = {prefix.sub("", name): path for name, path in files.items()}
    return numbered if len(numbered) == len(files) else files


def _refuse_unpaired(images: set[str], labels: set[str], image_folder: Path, label_folder: Path) -> None:
    problems = []
    if images - labels:
        problems.append(
            f"{len(images - labels)} images in {image_folder} have no label: {_some(sorted(images - labels))}"
        )
    if labels - images:
        problems.append(
            f"{len(labels - images)} labels in {label_folder} have no image: {_some(sorted(labels - images))}"
        )
    if problems:
        raise DataError("; ".join(problems) + ". Names must be equal; add the missing files or move the others away.")


def _read_description(root: Path) -> dict[str, Any]:
    path = root / "dataset.json"
    if not path.exists():
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Correct it, or remove it.") from None
    return description if isinstance(description, dict) else {}


def _label_names(description: dict[str, Any]) -> dict[int, str]:
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


def _channel_names(description: dict[str, Any]) -> tuple[str, ...]:
    channels = description.get("channel_names") or description.get("modality") or {}
    if not isinstance(channels, dict):
        return ()
    return tuple(str(channels[key]) for key in sorted(channels, key=lambda key: (len(str(key)), str(key))))


def _inside(root: Path, entry: Any) -> Path:
    """A file named by dataset.json; entries that lead out of the folder are refused."""
    path = root / os.path.normpath(str(entry))  # by its text: links inside the folder may lead anywhere
    if Path(os.path.normpath(str(entry))).is_absolute() or ".." in path.relative_to(root).parts:
        raise DataError(f"{root / 'dataset.json'}: {entry!r} lies outside the folder. Use paths inside it.")
    return path


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
