"""A checkpoint of PyTorch before PyTorch reads it: what its zip holds and which names its pickle calls.

A pickle is a program, and ``torch.load(weights_only=True)`` runs a part of it. Here its words are read one by one, and
none is obeyed: whatever names something else than tensors and numbers is refused by that name, and so is a zip whose
content is not what it says. Only the standard library is imported, so that Slicer's Python can tell what a model is.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from MedSegTrainerLib.errors import ModelError

NUMPY_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
NUMPY_TYPES = ("numpy.dtype", "numpy.dtypes.Float64DType", "numpy.dtypes.Float32DType")
STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.device",
        "torch.Size",
        "_codecs.encode",
        *(f"torch.{name}Storage" for name in STORAGES),
        *NUMPY_SCALARS,
        *NUMPY_TYPES,
    }
)
CALLING = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")  # other ways of naming something
PICKLE = "data.pkl"
LARGEST_PICKLE = 16 << 20  # bytes; those of nnU-Net have less than one
MOST_WORDS = 3_000_000
TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
KEPT = ("BINPUT", "LONG_BINPUT", "MEMOIZE")
FETCHED = ("BINGET", "LONG_BINGET")
Word = tuple[str, Any]


def refuse_unsafe(stream: IO[bytes], size: int) -> None:
    """Raises ModelError where a checkpoint of ``size`` bytes is none, or names something else than numbers."""
    unknown = {
        str(value).replace(" ", ".") if name == "GLOBAL" else f"something by the word {name}"
        for name, value in _words(stream, size)
        if (name == "GLOBAL" and str(value).replace(" ", ".") not in ALLOWED) or name in CALLING
    }
    if unknown:
        named = ", ".join(text[:100] for text in sorted(unknown)[:5])
        raise ModelError(
            f"it calls {named}, which is neither a tensor nor a number and could run code. It is not opened"
        )


def told_texts(stream: IO[bytes], size: int, keys: tuple[str, ...]) -> dict[str, str]:
    """The texts that stand behind these keys in the pickle of a checkpoint; raises ModelError where it is none."""
    found: dict[str, str] = {}
    memory: list[Any] = []
    numbered: dict[int, Any] = {}
    before = last = None
    for name, value in _words(stream, size):
        if name in KEPT:
            numbered[len(memory) if value is None else value] = last
            memory.append(last)
            continue
        before, last = last, value if name in TEXTS else numbered.get(value) if name in FETCHED else None
        if before in keys and isinstance(last, str):
            found.setdefault(str(before), last)
    return found


def _words(stream: IO[bytes], size: int) -> Iterator[Word]:
    """The words of a checkpoint's pickle with their values."""
    text = _pickle_of(stream, size)
    count = 0
    try:
        for word, value, _ in pickletools.genops(text):
            count += 1
            if count > MOST_WORDS:
                raise ModelError(f"its pickle has more than {MOST_WORDS} words. It is not opened")
            yield word.name, value
    except (ValueError, OverflowError, MemoryError):  # of a pickle that is cut short, or none
        raise ModelError("its pickle is damaged") from None


def _pickle_of(stream: IO[bytes], size: int) -> bytes:
    try:
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            _refuse_bomb(members, size)
            pickles = [info for info in members if PurePosixPath(info.filename).name == PICKLE]
            if len(pickles) != 1 or any(PurePosixPath(info.filename).name == "constants.pkl" for info in members):
                raise ModelError("it is no checkpoint of PyTorch, which has one data.pkl")
            if pickles[0].file_size > LARGEST_PICKLE:
                raise ModelError(f"its data.pkl claims {pickles[0].file_size} bytes. It is not opened")
            return archive.read(pickles[0])
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, NotImplementedError, OSError):
        raise ModelError("it is no checkpoint of PyTorch 1.6 or later, or cut short") from None
    finally:
        stream.seek(0)


def _refuse_bomb(members: list[zipfile.ZipInfo], size: int) -> None:
    """PyTorch packs nothing: what is packed, or lies twice in the same bytes, is larger than it looks."""
    packed = [info.filename for info in members if info.compress_type != zipfile.ZIP_STORED]
    if packed or sum(info.file_size for info in members) > size:
        raise ModelError("its zip claims more than it holds. It is not opened")
