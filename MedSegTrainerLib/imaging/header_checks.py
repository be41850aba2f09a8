"""NIfTI and MetaImage headers with numbers that cannot be: ITK ends the process at some, and guesses at others."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.file_formats import unpacked_start
from MedSegTrainerLib.imaging.nifti_checks import BITS, NIFTI_SUFFIXES

META_SUFFIXES = (".mha", ".mhd")
NIFTI_HEADER, SHORTEST = 348, 352  # bytes of the header, and where voxels begin at the earliest (nifti1.h)
LONGEST_LINE, MOST_LINES = 1 << 16, 1 << 12
MOST_DIMS, MOST_CHANNELS = 6, 1 << 12


def _whole(low: int, high: float = math.inf) -> Callable[[str], bool]:
    return lambda word: word.removeprefix("-").isdecimal() and low <= int(word) <= high


def _real(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _size(word: str) -> bool:
    return _real(word) and float(word) > 0


FIELDS: dict[str, tuple[int, Callable[[str], bool], str]] = {  # to the power of dimensions that it has numbers for
    "NDims": (0, _whole(1, MOST_DIMS), f"a number from 1 to {MOST_DIMS}"),
    "DimSize": (1, _whole(1, 1 << 31), "a whole number above 0 for each dimension"),
    "ElementSpacing": (1, _size, "a number above 0 for each dimension"),
    "ElementSize": (1, _size, "a number above 0 for each dimension"),
    "Offset": (1, _real, "a number for each dimension"),
    "Position": (1, _real, "a number for each dimension"),
    "Origin": (1, _real, "a number for each dimension"),
    "CenterOfRotation": (1, _real, "a number for each dimension"),
    "TransformMatrix": (2, _real, "a number for each pair of dimensions"),
    "Rotation": (2, _real, "a number for each pair of dimensions"),
    "Orientation": (2, _real, "a number for each pair of dimensions"),
    "ElementNumberOfChannels": (0, _whole(1, MOST_CHANNELS), f"a number from 1 to {MOST_CHANNELS}"),
    "HeaderSize": (0, _whole(-1), "a whole number"),
    "CompressedDataSize": (0, _whole(0), "a whole number"),
}


def refuse_wrong_header(path: Path) -> None:
    """Raises DataError where a number in the header of a NIfTI or MetaImage file cannot be; other files pass."""
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        _check_nifti(path)
    elif name.endswith(META_SUFFIXES):
        _check_meta(path)


def _check_nifti(path: Path) -> None:
    header = unpacked_start(path)
    if len(header) < NIFTI_HEADER:
        return  # its reader says that it is cut off
    order = "<" if struct.unpack_from("<i", header)[0] == NIFTI_HEADER else ">"
    axes, *size = struct.unpack_from(f"{order}8h", header, 40)
    kind, bits = struct.unpack_from(f"{order}2h", header, 70)
    _, *spacing = struct.unpack_from(f"{order}8f", header, 76)
    (start,) = struct.unpack_from(f"{order}f", header, 108)
    if not 1 <= axes <= 7 or min(size[:axes]) < 1:
        raise _wrong(path, "dim", f"must be a number of axes and their lengths, not {axes} and {size}")
    if BITS.get(kind, bits) != bits:
        raise _wrong(path, "bitpix", f"must be {BITS[kind]} for datatype {kind}, not {bits}")
    if not (start == 0 or SHORTEST <= start < math.inf):
        raise _wrong(path, "vox_offset", f"must be {SHORTEST} or more, not {start:g}")
    long = [voxel for voxel, count in zip(spacing[:3], size[: min(3, axes)], strict=False) if count > 1]
    if any(voxel == 0 or not math.isfinite(voxel) for voxel in long):
        raise _wrong(path, "pixdim", f"must be the size of a voxel in mm, not {spacing[:3]}")


def _check_meta(path: Path) -> None:
    fields: dict[str, Sequence[str]] = {}
    for key, values in _lines(path):
        if key in fields and key in FIELDS:
            raise _wrong(path, key, "stands twice")
        fields[key] = values
    for key in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if not fields.get(key):
            raise _wrong(path, key, "is missing")
    for key, (power, fits, expected) in FIELDS.items():
        if key not in fields:
            continue
        values = fields[key]
        if not all(map(fits, values)) or len(values) != int(fields["NDims"][0]) ** power:
            raise _wrong(path, key, f"must be {expected}, not '{' '.join(values)[:100]}'")


def _lines(path: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Names and values of the fields, up to the one that names the data."""
    with path.open("rb") as stream:
        for line in islice(iter(lambda: stream.readline(LONGEST_LINE), b""), MOST_LINES):
            key, _, value = re.sub("[:=]", "=", line.decode("latin-1"), count=1).partition("=")
            yield key.strip(), value.split()
            if key.strip() == "ElementDataFile":
                return


def _wrong(path: Path, key: str, what: str) -> DataError:
    return DataError(
        f"{path} cannot be read as an image: {key} in its header {what}. Replace the file, or correct its header."
    )
