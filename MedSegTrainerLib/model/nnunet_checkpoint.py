"""A checkpoint of nnU-Net read as tensors, numbers and texts, with none of NumPy's own code.

nnU-Net keeps scores as NumPy's scalars, whose pickle calls NumPy. Here these calls reach stand-ins, which make plain
numbers of the same bytes; everything else was refused before (``checkpoint_file``).
"""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.checkpoint_file import NUMPY_SCALARS, NUMPY_TYPES, refuse_unsafe

CODES = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "u8": "Q", "u4": "I", "b1": "?"}
PREFIX = "module."  # of a network that several GPUs trained together
UNREADABLE = (
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    EOFError,
    OSError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, kw_only=True)
class NnunetCheckpoint:
    """weights: by nnU-Net's names. mirror_axes: of patches, along which predictions may be mirrored too."""

    weights: Mapping[str, torch.Tensor]
    trainer: str
    configuration: str
    mirror_axes: tuple[int, ...]
    epochs: int | None


class _NumberType:
    """Stands in for ``numpy.dtype`` and the classes of its instances."""

    def __init__(self, code: object = "f8", *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]


def _number(kind: object = None, content: object = b"") -> float | None:
    """Stands in for ``numpy.core.multiarray.scalar``; None for what is no number."""
    code = CODES.get(kind.code) if isinstance(kind, _NumberType) and isinstance(kind.code, str) else None
    if code is None or not isinstance(content, bytes) or struct.calcsize(code) != len(content):
        return None
    (value,) = struct.unpack(kind.order + code, content) if isinstance(kind, _NumberType) else (None,)
    return value


STAND_INS: list[Any] = [(_number, name) for name in NUMPY_SCALARS] + [(_NumberType, name) for name in NUMPY_TYPES]


@contextmanager
def loaded(stream: IO[bytes], size: int) -> Iterator[dict[str, Any]]:
    """What a checkpoint of ``size`` bytes holds, with stand-ins for NumPy's scalars. Its tensors lie in the file itself
    and may be used, or cloned, within the block alone.

    Raises ModelError where it holds anything but tensors, numbers and texts.
    """
    refuse_unsafe(stream, size)
    with tempfile.TemporaryDirectory(prefix="checkpoint-", ignore_cleanup_errors=True) as folder:
        path = Path(stream.name) if isinstance(stream, io.BufferedReader) else _copied(stream, Path(folder))
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(STAND_INS):
                warnings.simplefilter("ignore")  # of storages as earlier versions have them
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except UNREADABLE:
            raise ModelError("it is damaged, or holds something else than tensors, numbers and texts") from None
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise ModelError("it holds no values by their names")
        yield content


def checkpoint_of(content: Mapping[str, Any]) -> NnunetCheckpoint:
    """The parts of nnU-Net's checkpoint that say what the network is; raises ModelError."""
    weights, arguments = content.get("network_weights"), content.get("init_args")
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    ):
        raise ModelError("it has no network_weights")
    trainer, configuration = content.get("trainer_name"), None
    if isinstance(arguments, dict):
        configuration = arguments.get("configuration")
    if not isinstance(trainer, str) or not isinstance(configuration, str):
        raise ModelError("it names no trainer and configuration")
    given = content.get("inference_allowed_mirroring_axes")
    axes = [] if given is None else list(given) if isinstance(given, (tuple, list)) else [given]
    if not all(type(axis) is int and axis in (0, 1, 2) for axis in axes) or len(set(axes)) < len(axes):
        raise ModelError(f"its inference_allowed_mirroring_axes are {given!r:.60}, and must be of 0, 1 and 2")
    epochs = content.get("current_epoch")
    return NnunetCheckpoint(
        weights={name.removeprefix(PREFIX): value for name, value in weights.items()},
        trainer=trainer,
        configuration=configuration,
        mirror_axes=tuple(axes),
        epochs=epochs if type(epochs) is int else None,
    )


def _copied(stream: IO[bytes], folder: Path) -> Path:
    """A file with the content of a stream, since PyTorch maps files alone."""
    path = folder / "checkpoint.pth"
    with path.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    return path
