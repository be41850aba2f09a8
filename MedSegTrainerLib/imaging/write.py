"""Writing volumes: each file is whole or not there, and was read again before it took its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.result_formats import RESULT_FORMATS
from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.imaging.nifti_checks import NIFTI_SUFFIXES
from MedSegTrainerLib.imaging.qform_sform import Forms, pack, put_forms, read_forms


def write_volume(image: sitk.Image, path: Path, like: Path | None = None) -> None:
    """The image in the format that the suffix says, compressed; by ITK, or the writer in ``RESULT_FORMATS``.

    like: the file whose grid the image has. Where both are NIfTI, its qform, sform, codes, voxel sizes and unit are
    written as they are: of two forms that disagree, ITK knows only one. Raises StorageError where it cannot be written
    whole.
    """
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    writer = _own_writer(path)
    if writer is not None:
        atomic.write_with(path, partial(writer, image))
        return
    forms = read_forms(like) if like is not None and path.name.lower().endswith(NIFTI_SUFFIXES) else None
    temporary = atomic.temporary_beside(path)
    with atomic.storage_errors(path):
        try:
            if forms is not None and _has_grid_of(image, forms):
                _write_with_forms(image, temporary, forms)
            else:
                sitk.WriteImage(image, str(temporary), useCompression=True)
            if image.GetNumberOfComponentsPerPixel() > 1 and path.name.lower().endswith(".nrrd"):
                _name_layers(temporary)
            _verify_written(temporary, image)
            atomic.replace(temporary, path)
        except RuntimeError as error:
            raise StorageError(
                f"Cannot write {path}: {str(error).splitlines()[-1].strip()}. "
                "See that the disk has room, or choose another folder."
            ) from None
        finally:
            temporary.unlink(missing_ok=True)


def _has_grid_of(image: sitk.Image, forms: Forms) -> bool:
    """Whether the forms may be those of the image, which may have channels as a fourth axis."""
    return forms.size == image.GetSize()[:3] and (image.GetDimension() == 3 or forms.axes > 2)


def _name_layers(path: Path) -> None:
    """Calls the components of a voxel in an NRRD file a list, as 3D Slicer does: to ITK they are a vector in space."""
    header, end, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(header.replace(b"kinds: vector", b"kinds: list") + end + voxels)


def _own_writer(path: Path) -> Callable[[sitk.Image, BinaryIO], None] | None:
    """What writes files of this name where ITK does not."""
    name = path.name.lower()
    entries = (entry for entry in RESULT_FORMATS.values() if entry.writer and name.endswith(f".{entry.suffix}"))
    entry = next(entries, None)
    return None if entry is None else resolve_name(entry.writer)


def _write_with_forms(image: sitk.Image, path: Path, forms: Forms) -> None:
    """A NIfTI file; packed only when its header is right, for packing takes the time."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    try:
        sitk.WriteImage(image, str(plain), useCompression=False)
        put_forms(plain, forms)
        if plain != path:
            pack(plain, path)
    finally:
        if plain != path:
            plain.unlink(missing_ok=True)


def _verify_written(path: Path, image: sitk.Image) -> None:
    """Raises RuntimeError unless the file holds the image: on a full disk ITK can write half of it without a word."""
    written = sitk.ReadImage(str(path))
    if not np.array_equal(sitk.GetArrayViewFromImage(written).ravel(), sitk.GetArrayViewFromImage(image).ravel()):
        raise RuntimeError("the file came out incomplete")
