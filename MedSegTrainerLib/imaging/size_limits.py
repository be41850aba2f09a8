"""Files that promise more than they hold, or than memory does: refused before anything is allocated."""

from __future__ import annotations

import math
import re
from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.hardware.main_memory import available_memory

SINGLE_FILES = (".nrrd", ".mha")  # what they promise lies in the same file
MOST_PACKED = 1032  # bytes that deflate makes of one at most (zlib's technical notes); other packings do not occur
HEADER = 4096
SMALL = 1 << 26  # bytes that no computer lacks: for most images nobody asks how much memory there is


def refuse_oversized(path: Path) -> None:
    """Raises DataError where an image file cannot hold what its header promises, or memory cannot.

    What ITK cannot read passes: reading says why.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return
    bits = int(re.findall(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))[-1])
    size = reader.GetSize()
    promised = math.prod(size) * reader.GetNumberOfComponents() * bits // 8
    held = path.stat().st_size
    if path.name.lower().endswith(SINGLE_FILES) and promised > HEADER + MOST_PACKED * held:
        raise DataError(
            f"{path} is damaged: it holds {held} bytes and its header promises {_times(size)} voxels. "
            "Copy or download the file again, or remove the case."
        )
    refuse_beyond_memory(path, promised, f"{_times(size)} voxels")


def refuse_beyond_memory(path: Path, promised: int, what: str) -> None:
    """Raises DataError where ``promised`` bytes of an image do not fit into the memory that is free."""
    if promised < SMALL:
        return
    free = available_memory()
    if promised > free:
        raise DataError(
            f"{path} has {what}, {promised / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free. "
            "Close other programs, or cut or resample the image."
        )


def _times(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
