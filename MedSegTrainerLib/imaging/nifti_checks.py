"""What ITK does not say of NIfTI files: it makes up the rest of one that ends too early, and reads NaN as 0."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.file_formats import read_start
from MedSegTrainerLib.imaging.size_limits import refuse_beyond_memory

NIFTI_SUFFIXES = (".nii", ".nii.gz")
PIECE = 1 << 20
# By the size that a header tells first: format and place of the 8 dimensions, of the type of voxels, of bits per
# voxel, of where data begins, of the offset that is added to stored values (nifti1.h, nifti2.h).
FIELDS = {
    348: (("8h", 40), ("h", 70), ("h", 72), ("f", 108), ("f", 116)),
    540: (("8q", 16), ("h", 12), ("h", 14), ("q", 168), ("d", 184)),
}
# ITK reads by the type of voxels, whatever the header says of their bits.
BITS = {
    2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64, 1536: 128,
    1792: 128, 2048: 256, 2304: 32,
}  # fmt: skip
FLOAT_TYPES = {16: "f4", 64: "f8"}


@dataclass(frozen=True, kw_only=True)
class Header:
    """shape: along x, y, z, ... as far as the file has axes. offset: what is added to stored values. ``floats``: numpy
    type of the voxels where they are floating point, else None."""

    packed: bool
    shape: tuple[int, ...]
    offset: float
    start: int
    size: int
    floats: np.dtype[np.floating] | None


def refuse_truncated(path: Path) -> None:
    """Raises DataError where a NIfTI file holds fewer bytes than its header says, or memory does; other files pass.

    A compressed file tells its full size (modulo 2^32) in its last four bytes (RFC 1952); only where that
    does not fit is it unpacked and counted.
    """
    try:
        header = _read_header(path)
        if header is not None:
            refuse_beyond_memory(path, header.size, f"{' x '.join(map(str, header.shape))} voxels")
        if header is None or (header.packed and _size_at_end(path) == header.size % 2**32):
            return
        actual = _count_unpacked(path) if header.packed else path.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    if actual < header.size:
        raise _damaged(path, f"it holds {actual} bytes and its header promises {header.size}")


def read_not_finite(path: Path, channels: Sequence[np.ndarray]) -> np.ndarray | None:
    """Where a NIfTI file is NaN or infinite, (channels, z, y, x), for the channels that ITK read from it.

    None for other files, for whole numbers, and where nothing is. The file is read again only where a channel has the
    value that ITK puts in place of NaN.
    """
    header = _read_header(path)
    if header is None or header.floats is None:
        return None
    if not header.offset and not any((channel == 0).any() for channel in channels):
        return None
    pieces = []
    with gzip.open(path) if header.packed else path.open("rb") as stream:
        stream.read(header.start)
        for left in range(header.size - header.start, 0, -PIECE):
            pieces.append(~np.isfinite(np.frombuffer(stream.read(min(left, PIECE)), header.floats)))
    mask = np.concatenate(pieces)
    return mask.reshape(-1, *(*header.shape, 1, 1, 1)[2::-1]) if mask.any() else None


def _read_header(path: Path) -> Header | None:
    """None where the file is not NIfTI."""
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return None
    packed, header = read_start(path)
    for order in "<>":
        length = struct.unpack_from(order + "i", header)[0] if len(header) >= 4 else 0
        if length not in FIELDS or len(header) < length:
            continue
        dim, kind, bits, start, offset = (
            struct.unpack_from(order + text, header, position) for text, position in FIELDS[length]
        )
        if not 0 <= start[0] < 2**40:  # floating point in NIfTI-1: it may be NaN
            raise _damaged(path, f"its header says that voxels begin at byte {start[0]}")
        shape = tuple(max(1, count) for count in dim[1 : dim[0] + 1])
        floats = np.dtype(order + FLOAT_TYPES[kind[0]]) if kind[0] in FLOAT_TYPES else None
        return Header(
            packed=packed,
            shape=shape,
            start=int(start[0]),
            size=int(start[0]) + math.prod(shape) * BITS.get(kind[0], bits[0]) // 8,
            offset=float(offset[0]),
            floats=floats,
        )
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
