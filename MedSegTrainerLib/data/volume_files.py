"""Writing volumes: each file is whole or not there, and was read again before it took its place."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import StorageError


def write_volume(image: sitk.Image, path: Path) -> None:
    """The image in the format that the suffix says, compressed; of a ``.npy`` file its array (z, y, x).

    Raises StorageError where it cannot be written whole.
    """
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npy":
        content = io.BytesIO()
        np.save(content, sitk.GetArrayViewFromImage(image), allow_pickle=False)
        atomic.write_bytes(path, content.getvalue())
        return
    temporary = atomic.temporary_beside(path)
    with atomic.storage_errors(path):
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            _read_again(temporary, image)
            atomic.replace(temporary, path)
        except RuntimeError as error:
            raise StorageError(
                f"Cannot write {path}: {str(error).splitlines()[-1].strip()}. "
                "See that the disk has room, or choose another folder."
            ) from None
        finally:
            temporary.unlink(missing_ok=True)


def _read_again(path: Path, image: sitk.Image) -> None:
    """Raises RuntimeError unless the file holds the image: on a full disk ITK can write half of it without a word."""
    written = sitk.ReadImage(str(path))
    if not np.array_equal(sitk.GetArrayViewFromImage(written).ravel(), sitk.GetArrayViewFromImage(image).ravel()):
        raise RuntimeError("the file came out incomplete")
