"""What ITK does not read of PNG files: gray pixels with an alpha channel, and the numbers of a palette's colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from MedSegTrainerLib.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH, COLOR_TYPE = 24, 25  # places in the file (PNG specification, 11.2.1 IHDR)
PALETTE, GRAY_ALPHA = 3, 4


def has_palette(path: Path) -> bool:
    return _header(path, COLOR_TYPE) == PALETTE


def has_gray_and_alpha(path: Path) -> bool:
    return _header(path, COLOR_TYPE) == GRAY_ALPHA


def read_indices(path: Path) -> np.ndarray:
    """Numbers (y, x) of a PNG with a palette; raises DataError where the file is damaged."""
    return _read(path)


def read_gray(path: Path) -> np.ndarray:
    """Gray values (y, x) of a PNG without its alpha channel; raises DataError, also for 16 bits, which would be cut."""
    if _header(path, BIT_DEPTH) == 16:
        raise DataError(f"{path} has 16-bit gray values with an alpha channel. Save it without alpha (transparency).")
    gray: np.ndarray = _read(path)[..., 0]
    return np.ascontiguousarray(gray)


def _header(path: Path, place: int) -> int | None:
    """A byte of the header; None where the file is no PNG."""
    with path.open("rb") as stream:
        start = stream.read(COLOR_TYPE + 1)
    return start[place] if start.startswith(SIGNATURE) and len(start) > place else None


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}. Replace the file or remove the case.") from None
