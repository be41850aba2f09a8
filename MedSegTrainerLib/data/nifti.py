"""Whether a NIfTI file is all there: ITK reads one that ends too early without a word, and makes up the rest."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

from MedSegTrainerLib.errors import DataError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
LONGEST_HEADER = 540
PIECE = 1 << 20
# By the size that a header tells first: format and place of the 8 dimensions, of bits per voxel, of where data begins.
FIELDS = {348: (("8h", 40), ("h", 72), ("f", 108)), 540: (("8q", 16), ("h", 14), ("q", 168))}


def refuse_truncated(path: Path) -> None:
    """Raises DataError where a NIfTI file holds fewer bytes than its header says; other files pass.

    Fields of the header: NIfTI-1 and NIfTI-2 (nifti1.h, nifti2.h). A compressed file tells its full size
    (modulo 2^32) in its last four bytes (RFC 1952); only where that does not fit is it unpacked and counted.
    """
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        expected = _expected_bytes(path, packed)
        if expected is None or (packed and _size_at_end(path) == expected % 2**32):
            return
        found = _count_unpacked(path) if packed else path.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    if found < expected:
        raise _damaged(path, f"it holds {found} bytes and its header promises {expected}")


def _expected_bytes(path: Path, packed: bool) -> int | None:
    """Size of the whole file before packing; None where the header is not one of NIfTI."""
    with gzip.open(path) if packed else path.open("rb") as stream:
        header = stream.read(LONGEST_HEADER)
    for order in "<>":
        size = struct.unpack_from(order + "i", header)[0] if len(header) >= 4 else 0
        if size in FIELDS and len(header) >= size:
            dimensions, bits, start = (struct.unpack_from(order + text, header, place) for text, place in FIELDS[size])
            voxels = math.prod(max(1, length) for length in dimensions[1 : dimensions[0] + 1])
            return int(start[0]) + voxels * bits[0] // 8
    return None


def _size_at_end(path: Path) -> int:
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        return int(struct.unpack("<I", stream.read(4))[0])


def _count_unpacked(path: Path) -> int:
    with gzip.open(path) as stream:
        return sum(len(piece) for piece in iter(lambda: stream.read(PIECE), b""))


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged: {reason.rstrip('.')}. Copy or download the file again, or remove the case.")
