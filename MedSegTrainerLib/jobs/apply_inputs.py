"""The images that a model is applied to, found in files and folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from MedSegTrainerLib.errors import UsageError, some
from MedSegTrainerLib.files.regular_file import refuse_unnameable
from MedSegTrainerLib.imaging.dicom import holds_series, images_in
from MedSegTrainerLib.imaging.read import case_name, image_files
from MedSegTrainerLib.jobs.bids_inputs import bids_inputs
from MedSegTrainerLib.jobs.case_inputs import case_inputs

MOST_FOLDERS = 1000


@dataclass(frozen=True, kw_only=True)
class Input:
    """An image to segment: one file (or DICOM folder) with all channels, or one for each."""

    name: str
    files: tuple[Path, ...]


def find_inputs(paths: Sequence[Path], channel_names: Sequence[str]) -> list[Input]:
    """The images in files and folders; a folder with the slices of a DICOM series is one image. Folders without images
    are searched for the subjects of BIDS with the channels of the model, and for folders of cases.

    With several channels, files that differ only in ``_0000``, ``_0001``, ... belong together.
    Raises UsageError for paths that do not exist, folders without images and names that occur twice.
    """
    files: list[Path] = []
    of_cases: list[Input] = []
    for path in paths:
        refuse_unnameable(path, UsageError)
        if path.is_dir():
            inside = images_in(path) if holds_series(path) else image_files(path)
            found = {} if inside else bids_inputs(path, channel_names) or case_inputs(path, len(channel_names))
            of_cases += [Input(name=name, files=own) for name, own in found.items()]
            if not inside and not found:
                _refuse_deeper(path)
                formats = "NIfTI, NRRD, MetaImage, DICOM, NPY, PNG, TIFF or JPEG"
                raise UsageError(f"{path} holds no image files ({formats}).")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise UsageError(f"{path} does not exist. Check the path.")
    inputs = [*_grouped(files, len(channel_names)), *of_cases]
    for name, count in Counter(item.name for item in inputs).items():
        if count > 1:
            raise _same_name(name, [file for item in inputs if item.name == name for file in item.files])
    return inputs


def _grouped(files: Sequence[Path], channels: int) -> list[Input]:
    grouped: dict[str, list[Path]] = {}
    for file in files:
        name, _, number = case_name(file).rpartition("_")
        numbered = bool(name) and len(number) == 4 and number.isdigit() and channels > 1
        grouped.setdefault(name if numbered else case_name(file), []).append(file)
    for name, group in grouped.items():
        if len({case_name(file) for file in group}) < len(group) or len(group) not in (1, channels):
            raise _same_name(name, group)
    return [Input(name=name, files=tuple(sorted(group))) for name, group in grouped.items()]


def _same_name(name: str, files: Sequence[Path]) -> UsageError:
    return UsageError(
        f"Several inputs are named {name}, and their results would overwrite each other: {', '.join(map(str, files))}. "
        "Apply the model to one after the other, with another output folder each."
    )


def _refuse_deeper(folder: Path) -> None:
    """Raises UsageError that names the folders below which hold images, such as PATIENT/STUDY/SERIES."""
    below = [path for path in islice(folder.rglob("*"), MOST_FOLDERS) if path.is_dir()]
    holding = [path for path in sorted(below) if holds_series(path) or image_files(path)]
    upper = [str(path) for path in holding if path.parent not in holding]
    if upper:
        raise UsageError(f"{folder} holds no image files itself, but folders in it do. Give those: {some(upper)}")
