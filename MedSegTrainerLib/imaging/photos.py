"""Photographs (PNG, TIFF, JPEG): pixels as every viewer shows them, numbers of label maps as they are stored.

They are distinguished by their content, whatever the suffix says, and each is turned upright as its EXIF orientation
tells. ITK is faster and reads more than 8 bits a colour; Pillow reads what ITK would show otherwise than viewers do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from MedSegTrainerLib.errors import DataError

FORMATS = ("PNG", "TIFF", "JPEG")  # of the others that Pillow knows, some start programs
LOSSY = ("jpeg", "tiff_jpeg", "JPEG", "MPO")  # Pillow's names of compressions and formats
PNG_CHUNKS, PNG_DEPTH, PNG_KIND = 8, 24, 25  # places in the file (PNG specification, 5.2 and 11.2.1 IHDR)
PNG_GRAY_ALPHA = 4
DEEP_GRAY = ("I;16", "I;16B", "I;16L", "I", "F")
PLAIN = ("L", "RGB", "RGBA", *DEEP_GRAY)
ALPHA = {2: 1, 4: 3}  # components to those without alpha
DAMAGED = (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, OverflowError, EOFError, struct.error)
Image.MAX_IMAGE_PIXELS = 1 << 30  # overviews of slides have more than the 89 million above which Pillow warns


def read_photo(path: Path, *, stored: bool = False) -> sitk.Image:
    """Pixels of 1 mm: gray, or the three components of a colour, without alpha; several pages of a TIFF are slices.

    stored: the numbers of a label map: of a palette the indices, of 1, 2 or 4 bits 0 and up. Raises DataError where the
    file is damaged or cannot be read in full, and ITK's RuntimeError for what Pillow does not know either.
    """
    with _opened(path) as image:
        if image is not None and _is_for_pillow(image, path):
            pages = _pages(image, path, stored)
            if pages is not None:
                colour = pages[0].ndim == 3
                return sitk.GetImageFromArray(pages[0] if len(pages) == 1 else np.stack(pages), isVector=colour)
    return _by_itk(path)


def is_lossy(path: Path) -> bool:
    """Whether it is compressed as a JPEG is, which does not keep numbers."""
    with _opened(path) as image:
        return image is not None and (image.format in LOSSY or image.info.get("compression") in LOSSY)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image | None]:
    """None where Pillow does not know what it is. Raises DataError for what fails while it is open."""
    with path.open("rb") as stream:  # of a path Pillow maps raw TIFF files, and turns those wrongly
        try:
            image = Image.open(stream, formats=FORMATS)
        except (UnidentifiedImageError, *DAMAGED):
            image = None
        except Image.DecompressionBombError as error:
            raise _unreadable(path, error) from None
        try:
            yield image
        except DAMAGED as error:
            raise _unreadable(path, error) from None


def _is_for_pillow(image: Image.Image, path: Path) -> bool:
    """Raises DataError for what neither reads in full."""
    orientation, depth = _orientation(image, path), _depth(image, path)
    if depth <= 8 or image.mode in DEEP_GRAY:
        plain = image.format in ("PNG", "TIFF") and image.mode in PLAIN and depth >= 8
        return not plain or orientation != 1 or _is_inverted(image)
    if image.format == "PNG" and _png_byte(path, PNG_KIND) == PNG_GRAY_ALPHA:
        raise DataError(f"{path} has 16-bit gray values with an alpha channel. Save it without alpha (transparency).")
    if orientation != 1:
        raise DataError(
            f"{path} has more than 8 bits a colour and is to be turned (EXIF orientation {orientation}), which is "
            "not read together. Turn its pixels upright and save it without that tag."
        )
    return False


def _orientation(image: Image.Image, path: Path) -> int:
    """1 is upright. Of a PNG Pillow would unpack all pixels to see whether it has any EXIF."""
    if image.format == "PNG" and b"eXIf" not in _png_chunks(path):
        return 1
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _png_byte(path: Path, offset: int) -> int:
    with path.open("rb") as stream:
        return stream.read(offset + 1)[offset]


def _png_chunks(path: Path) -> set[bytes]:
    names = set()
    with path.open("rb") as stream:
        stream.seek(PNG_CHUNKS)
        while len(head := stream.read(8)) == 8:
            names.add(head[4:])
            stream.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return names


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF; Pillow turns such numbers round, up to 8 bits."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0


def _depth(image: Image.Image, path: Path) -> int:
    """Bits of a component."""
    if image.format == "PNG":
        return _png_byte(path, PNG_DEPTH)
    return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))) if isinstance(image, TiffImageFile) else 8


def _pages(image: Image.Image, path: Path, stored: bool) -> list[np.ndarray] | None:
    """Arrays (y, x) or (y, x, 3); None where the pages of a TIFF are not alike, such as thumbnails beside an image."""
    count = image.n_frames if isinstance(image, TiffImageFile) else 1
    pages = []
    for index in range(count):
        image.seek(index)
        invert, depth = _is_inverted(image), _depth(image, path)
        ImageOps.exif_transpose(image, in_place=True)
        pages.append(_as_stored(image, depth, invert) if stored else _as_displayed(image))
    return pages if len({(page.shape, page.dtype) for page in pages}) == 1 else None


def _as_displayed(image: Image.Image) -> np.ndarray:
    if image.mode in ("L", "RGB", *DEEP_GRAY):
        return np.array(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode == "LA":
        return np.array(image)[..., 0]
    if image.mode in ("P", "PA", "RGBA", "RGBa"):
        return np.array(image.convert("RGBA"))[..., :3]
    return np.array(image.convert("RGB"))


def _as_stored(image: Image.Image, depth: int, invert: bool) -> np.ndarray:
    if image.mode == "P":
        return np.array(image)
    if image.mode == "PA":
        return np.array(image)[..., 0]
    if image.mode not in ("1", "L") or (depth == 8 and not invert):
        return _as_displayed(image)
    largest = 2**depth - 1
    numbers = np.array(image.convert("L")) // (255 // largest)
    return largest - numbers if invert else numbers


def _by_itk(path: Path) -> sitk.Image:
    """Without alpha, and without the resolution that some hold, which is for printing."""
    image = sitk.ReadImage(str(path))
    count = image.GetNumberOfComponentsPerPixel()
    if count in ALPHA:
        channels = [sitk.VectorIndexSelectionCast(image, index) for index in range(ALPHA[count])]
        image = sitk.Compose(channels) if len(channels) > 1 else channels[0]
    dims = image.GetDimension()
    image.SetSpacing([1.0] * dims)
    image.SetOrigin([0.0] * dims)
    image.SetDirection([float(row == column) for row in range(dims) for column in range(dims)])
    return image


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as an image: {error}. Replace the file or remove the case.")
