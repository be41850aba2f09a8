"""One case of ``cases.json``: its files, and what of them is labelled."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from MedSegTrainerLib.data.dataset import Case, SliceAxis
from MedSegTrainerLib.errors import DataError, did_you_mean
from MedSegTrainerLib.files.regular_file import refuse_unnameable
from MedSegTrainerLib.imaging.partly_labelled import Box

PARTS = ("train", "val", "test")
SLICE_AXES = get_args(SliceAxis)
KEYS = ("name", "images", "label", "masks", "patient", "part", "drawn", "labelled_slices", "labelled_box")
NOT_IN_NAMES = '/\\:*?"<>|'
MISSPELT = 0.8  # of difflib's likeness: keys of other programs stay beside ours


def read_case_entry(entry: Any, path: Path) -> Case | None:
    """The case that an entry of the file ``path`` describes, None where it has no labels yet; raises DataError."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise DataError(f"{path}: each case needs a 'name' and 'images', not {entry!r}.")
    name, images = entry["name"], entry.get("images")
    if not name.strip(". ") or any(letter in NOT_IN_NAMES or ord(letter) < 32 for letter in name):
        raise DataError(f"{path}: {name!r} cannot be the name of a file. Leave out any of {NOT_IN_NAMES}")
    if not isinstance(images, list) or not images or not all(isinstance(image, str) and image for image in images):
        raise DataError(f"{path}: 'images' of {name} must be a list with a file for each channel, not {images!r}.")
    _refuse_misspelt(entry, name, path)
    label, masks = _label_files(entry, name, path)
    for file in (*images, label, *masks.values()):
        refuse_unnameable(Path(str(file)))
    part, patient = entry.get("part"), entry.get("patient") or ""
    if part is not None and part not in PARTS:
        raise DataError(f"{path}: 'part' of {name} is {part!r}. Give train, val or test, or leave it out.")
    drawn, box = entry.get("drawn"), entry.get("labelled_box")
    known = None if drawn is None else class_list(drawn, f"{path}: 'drawn' of {name}")
    if not label:
        return None
    return Case(
        name=name,
        images=tuple(path.parent / image for image in images),
        label=path.parent / label,
        masks={item: path.parent / file for item, file in masks.items()},
        patient=str(patient),
        part=part,
        drawn=known,
        labelled_slices=_slice_axis(entry.get("labelled_slices"), name, path),
        labelled_box=None if box is None else box_of(box, f"{path}: 'labelled_box' of {name}"),
    )


def class_list(value: Any, where: str) -> tuple[str, ...]:
    """Names of classes, each once; raises DataError, which begins with ``where``."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise DataError(
            f'{where} must be a list of the classes that were looked for, such as ["liver"], not {value!r}.'
        )
    return tuple(dict.fromkeys(value))


def _label_files(entry: dict[str, Any], name: str, path: Path) -> tuple[str, dict[str, str]]:
    """The label map, and the masks of classes, of which it is then the first; '' without any."""
    label, masks = entry.get("label"), entry.get("masks")
    if not isinstance(label, (str, type(None))):
        raise DataError(f"{path}: 'label' of {name} must be a file, not {label!r}.")
    if masks is None:
        return label or "", {}
    if not isinstance(masks, dict) or not all(isinstance(file, str) and file for file in masks.values()):
        raise DataError(
            f"{path}: 'masks' of {name} must pair each class with its file, such as "
            f'{{"liver": "{name}_liver.nii.gz"}}, not {masks!r}.'
        )
    if label:
        raise DataError(f"{path}: {name} has a 'label' and 'masks'. Keep the one that holds all of its classes.")
    return next(iter(masks.values()), ""), masks


def _slice_axis(value: Any, name: str, path: Path) -> SliceAxis:
    axis = next((axis for axis in SLICE_AXES if axis == (value or "")), None)
    if axis is None:
        raise DataError(
            f"{path}: 'labelled_slices' of {name} is {value!r}. Give the axis of the patient whose slices are "
            "labelled: x (left to right), y (front to back) or z (feet to head), auto, or none where all is."
        )
    return axis


def box_of(value: Any, where: str) -> Box:
    """The first and the last voxel of a box; raises DataError, which begins with ``where``."""
    corners = value if isinstance(value, list) and len(value) == 2 else [None, None]
    low, high = (_voxel(corner) for corner in corners)
    if low is None or high is None or any(first > last for first, last in zip(low, high, strict=True)):
        raise DataError(
            f"{where} must be the first and the last voxel of the box in the label map, such "
            f"as [[0, 0, 10], [255, 255, 40]], not {value!r}."
        )
    return low, high


def _voxel(value: Any) -> tuple[int, int, int] | None:
    """None for anything but three whole numbers from 0 on."""
    if not isinstance(value, list) or len(value) != 3 or any(type(part) is not int or part < 0 for part in value):
        return None
    return value[0], value[1], value[2]


def _refuse_misspelt(entry: Collection[Any], name: str, path: Path) -> None:
    """A key that is nearly one of ours would be passed over in silence."""
    for key in entry:
        if key not in KEYS and get_close_matches(str(key).casefold(), KEYS, n=1, cutoff=MISSPELT):
            raise DataError(f"{path}: {name} has a key '{key}', which nobody reads.{did_you_mean(str(key), KEYS)}")
