"""Datasets of DICOM files as pydicom reads them, with words in place of its exceptions, and their functional groups.

In an object of several frames, what is said of a frame stands in its item of the per-frame groups, or for all frames
in the shared ones (PS3.3, C.7.6.16).
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import pydicom
from pydicom.config import disable_value_validation

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.hardware.main_memory import available_memory

# what pydicom raises at values and structures that cannot be
UNREADABLE = (
    pydicom.errors.InvalidDicomError, AttributeError, ArithmeticError, AssertionError, EOFError, LookupError,
    NotImplementedError, OSError, RecursionError, RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
CHUNK, HEAD_BYTES = 1 << 20, 2048
DEFLATED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax
logging.getLogger("pydicom").setLevel(logging.ERROR)  # it logs each of its warnings too
_QUIET = RLock()  # filters of warnings belong to the whole process


@contextmanager
def without_warnings() -> Iterator[None]:
    """Values that break a rule of DICOM, as many archives hold them, are read and written as they are. Warnings of
    pydicom and highdicom are not shown: they repeat values, such as what the patient is called."""
    with _QUIET, warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def read_in_words(path: Path) -> Iterator[None]:
    """Raises DataError for a file that pydicom cannot make sense of."""
    try:
        with without_warnings():
            yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} cannot be read as DICOM: {reason}. Export it again.") from None


def read_dataset(path: Path, *, pixels: bool = True) -> pydicom.Dataset:
    """The dataset of a file, also one without preamble; without ``pixels`` up to them.

    Raises DataError where it is damaged, or unpacks to more than memory holds.
    """
    refuse_bomb(path, available_memory())
    with read_in_words(path):
        return pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)


def refuse_bomb(path: Path, free: int) -> None:
    """Raises DataError where a deflated file, which pydicom unpacks as a whole, has more than ``free`` bytes."""
    with read_in_words(path), path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        if DEFLATED not in head:
            return
        length = int.from_bytes(head[140:144], "little")  # of the group 2, behind its first element
        if head[128:136] != b"DICM\x02\0\0\0":
            raise ValueError("it is deflated and has no preamble")
        stream.seek(144 + length)
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        packed = stream.read(CHUNK)
        while packed and not inflate.eof:
            size += len(inflate.decompress(packed, CHUNK))
            packed = inflate.unconsumed_tail or stream.read(CHUNK)
            if size > free:
                raise ValueError(f"it unpacks to more than the {free / 1e9:.1f} GB of memory that are free")


class FunctionalGroups:
    """What is said of each frame of an object, in its own item or for all of them."""

    def __init__(self, dataset: pydicom.Dataset) -> None:
        self.frames: Sequence[Any] = dataset.get("PerFrameFunctionalGroupsSequence") or []
        self.shared: Any = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), pydicom.Dataset())

    def item(self, frame: int, sequence: str) -> Any:
        """The first item of a frame's sequence, an empty dataset where there is none."""
        found = self.frames[frame].get(sequence) if frame < len(self.frames) else None
        return next(iter(found or self.shared.get(sequence) or []), pydicom.Dataset())

    def numbers(self, frame: int, sequence: str, keyword: str, count: int) -> np.ndarray | None:
        """So many finite numbers of such an item, None where it does not have them."""
        return numbers(self.item(frame, sequence), keyword, count)


def numbers(dataset: Any, keyword: str, count: int) -> np.ndarray | None:
    """So many finite numbers of an element, None where it does not have them."""
    value = dataset.get(keyword)
    values = np.atleast_1d(np.array([] if value is None else value, float))
    return values if values.shape == (count,) and np.isfinite(values).all() else None
