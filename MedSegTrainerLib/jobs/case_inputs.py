"""The images that a model is applied to in a folder with a folder for each case, under the names of these."""

from __future__ import annotations

from pathlib import Path

from MedSegTrainerLib.data.layouts.case_folders import case_channels, is_label_file
from MedSegTrainerLib.data.layouts.name_pairs import is_label_name
from MedSegTrainerLib.errors import UsageError, some
from MedSegTrainerLib.imaging.dicom import DICOM_SUFFIXES
from MedSegTrainerLib.imaging.read import case_name, image_files


def case_inputs(folder: Path, channels: int) -> dict[str, tuple[Path, ...]]:
    """Name to a file for each channel, or one with all; {} where the folders hold no image files of their own.

    Files named as label maps, and what lies deeper, are no images. Raises UsageError where some cases have other
    numbers of images.
    """
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {path.name: tuple(_images(path).values()) for path in inside}
    found = {name: files for name, files in found.items() if files}
    wrong = [name for name, files in found.items() if len(files) not in (1, channels)]
    if wrong:
        raise UsageError(
            f"{folder}: the cases {some(wrong)} have other numbers of images than the {channels} channels of the "
            "model. Leave the image alone in each folder, or give the files one by one."
        )
    return found


def _images(folder: Path) -> dict[str, Path]:
    files = [path for path in image_files(folder) if path.is_file() and not path.name.lower().endswith(DICOM_SUFFIXES)]
    images = [path for path in files if not is_label_file(path, folder) and not is_label_name(case_name(path))]
    return case_channels(images, folder, ()) if images else {}
