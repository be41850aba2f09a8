"""The images of a BIDS data set that a model is applied to: those whose kinds are the channels of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerLib.data.layouts.bids_images import ANATOMY, NO_IMAGES
from MedSegTrainerLib.data.layouts.bids_names import BidsName, asks_for, joined, read_name
from MedSegTrainerLib.errors import UsageError, some
from MedSegTrainerLib.imaging.read import case_name, image_files

TOGETHER = ("sub", "ses", "run")  # entities that channels of one case have in common
Image = tuple[Path, BidsName]


def bids_inputs(folder: Path, channel_names: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Name to a file for each channel; {} for a folder without subjects that have images.

    Raises UsageError where the channels of the model are none of the kinds of images, or a subject lacks one.
    """
    images = [image for place in _anatomies(folder) for image in _images(place)]
    kinds = sorted({name.suffix for _, name in images})
    if len(channel_names) == 1:
        [wanted] = channel_names
        chosen = [image for image in images if asks_for(wanted, image[1])] or (images if len(kinds) == 1 else [])
        if images and not chosen:
            raise _unknown_channel(folder, wanted, kinds)
        return {case_name(path): (path,) for path, _ in chosen}
    missing = [name for name in channel_names if images and not any(asks_for(name, image[1]) for image in images)]
    if missing:
        raise _unknown_channel(folder, missing[0], kinds)
    return _grouped(folder, images, channel_names)


def _anatomies(folder: Path) -> list[Path]:
    return sorted([*folder.glob(f"sub-*/{ANATOMY}"), *folder.glob(f"sub-*/ses-*/{ANATOMY}")])


def _images(folder: Path) -> list[Image]:
    named = [(path, read_name(path)) for path in image_files(folder) if path.is_file()]
    return [(path, name) for path, name in named if name is not None and name.suffix not in NO_IMAGES]


def _grouped(folder: Path, images: Sequence[Image], channel_names: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    cases: dict[str, list[Image]] = {}
    for path, name in images:
        key = joined({key: value for key, value in name.entities.items() if key in TOGETHER})
        cases.setdefault(key, []).append((path, name))
    found = {
        case: [[path for path, name in own if asks_for(channel, name)] for channel in channel_names]
        for case, own in cases.items()
    }
    wrong = [case for case, files in found.items() if any(len(paths) != 1 for paths in files)]
    if wrong:
        raise UsageError(
            f"{folder}: {some(wrong)} have not just one image of each channel ({', '.join(channel_names)}). Give the "
            "files of the others one by one, or complete these."
        )
    return {case: tuple(paths[0] for paths in files) for case, files in found.items()}


def _unknown_channel(folder: Path, channel: str, kinds: Sequence[str]) -> UsageError:
    return UsageError(
        f"{folder} is a BIDS data set with {', '.join(kinds)}, and a channel of the model is '{channel}'. Give the "
        f"files to take, such as {folder.name}/sub-*/{ANATOMY}/*_{kinds[0]}.nii.gz"
    )
