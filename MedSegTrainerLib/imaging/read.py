"""Reading image files: every result is a list of 3D scalar SimpleITK images, one a channel.

Photographs (PNG, TIFF, JPEG) are upright, as viewers show them, and have pixels of 1 mm: the resolution some of them
hold is for printing. Colours are three channels, also where all pixels are gray; alpha is left out; the pages of a TIFF
are slices. A folder with a DICOM series is an image as a file is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.regular_file import refuse_no_file, refuse_unnameable
from MedSegTrainerLib.imaging.detached_data import refuse_files_elsewhere
from MedSegTrainerLib.imaging.dicom import DICOM_SUFFIXES, holds_series, is_dicom, read_dicom, read_series, series_files
from MedSegTrainerLib.imaging.file_formats import refuse_misnamed
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.header_checks import refuse_wrong_header
from MedSegTrainerLib.imaging.label_grid import place_on_grid
from MedSegTrainerLib.imaging.nifti_checks import NIFTI_SUFFIXES, refuse_truncated
from MedSegTrainerLib.imaging.numpy_files import ARRAY_SUFFIXES, read_array
from MedSegTrainerLib.imaging.photos import read_photo
from MedSegTrainerLib.imaging.size_limits import refuse_oversized

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
LOSSY_SUFFIXES = (".jpg", ".jpeg")
PHOTO_SUFFIXES = (".png", ".tif", ".tiff", *LOSSY_SUFFIXES)
IMAGE_SUFFIXES = (*VOLUME_SUFFIXES, *ARRAY_SUFFIXES, *DICOM_SUFFIXES, *PHOTO_SUFFIXES)

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's own lines would tear progress bars apart


def image_suffix(path: Path) -> str | None:
    """The suffix of an image file that can be read (``.nii.gz`` is one), or None."""
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), None)


def image_files(folder: Path) -> list[Path]:
    """The images of a folder by name: its image files, and its subfolders that hold a DICOM series.

    Beside volumes, photographs are only pictures of them and are left out. Raises DataError for names that are not
    UTF-8.
    """
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in visible:
        refuse_unnameable(path)
    images = [path for path in visible if (holds_series(path) if path.is_dir() else image_suffix(path))]
    return [path for path in images if path.is_dir() or image_suffix(path) not in PHOTO_SUFFIXES] or images


def case_name(path: Path) -> str:
    """File name without its image suffix, and without ``.seg`` before it; of a folder its whole name."""
    if path.is_dir():
        return path.resolve().name
    suffix = image_suffix(path) or path.suffix
    return path.name[: len(path.name) - len(suffix)].removesuffix(".seg")


def file_stamps(path: Path) -> list[tuple[str, int, int]]:
    """Path, bytes and time of change (ns) of a file, or of each file of a DICOM series: what tells that it changed."""
    files = series_files(path) if path.is_dir() else [path]
    return [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def refuse_unreadable(path: Path) -> None:
    """Raises DataError for what is no file, is of another format than its name says, or names voxels elsewhere.

    A folder passes, as it may hold a DICOM series.
    """
    if path.is_dir():
        return refuse_unnameable(path)
    refuse_no_file(path)
    refuse_misnamed(path, image_suffix(path))
    refuse_files_elsewhere(path)
    refuse_wrong_header(path)


def read_file(path: Path, *, stored: bool = False) -> sitk.Image:
    """Any image file, or folder with a DICOM series, as SimpleITK reads it; raises DataError that names the file.

    stored: of a photograph the numbers that its file stores, as ``read_photo`` takes it.
    """
    refuse_unreadable(path)
    if path.is_dir():
        return read_series(path)
    suffix = image_suffix(path)
    if suffix in ARRAY_SUFFIXES:
        return read_array(path)
    if suffix in DICOM_SUFFIXES or (suffix is None and is_dicom(path)):
        return read_dicom(path)
    if suffix in NIFTI_SUFFIXES:
        refuse_truncated(path)
    else:
        refuse_oversized(path)
    try:
        image = read_photo(path, stored=stored) if suffix in PHOTO_SUFFIXES else sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = _last_sentence(str(error))
        raise DataError(f"{path} cannot be read as an image: {reason} Replace the file or remove the case.") from None
    if "complex" in image.GetPixelIDTypeAsString():
        raise DataError(f"{path} holds complex numbers. Save their magnitude, or real and imaginary part as channels.")
    return image


def read_channels(paths: Sequence[Path]) -> list[sitk.Image]:
    """The channels of one case, from one file each or from one file with several.

    Raises DataError where a file cannot be read or the channels lie on different grids.
    """
    channels: list[sitk.Image] = []
    for path in paths:
        file_channels = _split(read_file(path), path)
        grid = (channels or file_channels)[0]
        channels += [place_on_grid(channel, path, grid, paths[0], is_label=False).image for channel in file_channels]
    first = Geometry.of(channels[0])
    for index, channel in enumerate(channels[1:], start=1):
        differences = first.disagreements(Geometry.of(channel))
        if differences:
            raise DataError(
                f"{paths[0]}: channel {index} lies elsewhere than channel 0: {'; '.join(differences)}. "
                "Resample the channels to one grid."
            )
    return channels


def as_volume(image: sitk.Image) -> sitk.Image:
    """A 2D image as a volume of one slice, one with further axes of length 1 without them; others as they are."""
    if image.GetDimension() == 2:
        return sitk.JoinSeries(image)
    further = image.GetSize()[3:]
    return image[(slice(None),) * 3 + (0,) * len(further)] if further and max(further) == 1 else image


def _split(image: sitk.Image, path: Path) -> list[sitk.Image]:
    """Scalar volumes of a file whose channels are vector components or a further axis."""
    count = image.GetNumberOfComponentsPerPixel()
    parts = [sitk.VectorIndexSelectionCast(image, index) for index in range(count)] if count > 1 else [image]
    further = image.GetSize()[3:]
    if sum(length > 1 for length in (*further, count)) > 1:
        size = " x ".join(map(str, image.GetSize() if count == 1 else (*image.GetSize(), count)))
        raise DataError(
            f"{path} has the size {size}, and beside x, y and z only one axis can be channels. "
            "Write each time point as a file of its own."
        )
    if len(further) == 0 or max(further) == 1:
        return [as_volume(part) for part in parts]
    return [image[(slice(None),) * 3 + place] for place in np.ndindex(*further)]


def _last_sentence(message: str) -> str:
    """The part of an ITK exception that says what was wrong."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    last = lines[-1] if lines else "unknown reason"
    last = last.split("ERROR: ")[-1].split("):")[-1].strip()
    return last if last.endswith(".") else last + "."
