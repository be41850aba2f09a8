"""NPY and NPZ files as images.

Arrays are (z, y, x), (y, x) for a single slice, (y, x, 3) for a colour picture, or (channels, z, y, x). In an NPZ file
``image`` (or ``data``) is the image and ``label`` (``labels``, ``mask``, ``seg``, ``segmentation``) the label map; an
array that stands alone may have any name. Beside them may stand ``spacing``, mm in the order of the array's axes
(z, y, x), and ``origin`` (x, y, z) and ``direction`` (3 x 3, columns are the x, y and z axes) as ITK has them, in LPS.
Without them voxels are cubes of 1 mm from the origin on. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.size_limits import refuse_beyond_memory

ARRAY_SUFFIXES = (".npy", ".npz")
Role = Literal["image", "label"]
KEYS: dict[Role, tuple[str, ...]] = {
    "image": ("image", "data"),
    "label": ("label", "labels", "mask", "seg", "segmentation"),
}
GEOMETRY_KEYS = ("spacing", "origin", "direction")
NARROWEST_PICTURE = 16  # voxels; with fewer, three in a row may as well be a thin volume
MAGIC = b"\x93NUMPY"
UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, OverflowError, RecursionError, NotImplementedError,
    RuntimeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


def read_array(path: Path, role: Role = "image") -> sitk.Image:
    """The array of a file as a 3D image, or as a 4D one whose last axis is channels.

    Raises DataError where the file cannot be read, has no such array, or none that can be an image.
    """
    arrays = _load(path, role)
    array = _as_numbers(arrays["array"], path)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and min(array.shape) >= 3:
        large = min(array.shape[:2]) >= NARROWEST_PICTURE
        array = np.moveaxis(array, 2, 0)[:, None] if large else array
    if array.ndim == 2:
        array = array[None]
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise DataError(
            f"{path} has an array of shape {arrays['array'].shape}. Save (z, y, x), (y, x), or (channels, z, y, x)."
        )
    if array.ndim == 3:
        return _placed(array, arrays, path)
    return sitk.JoinSeries([_placed(channel, arrays, path) for channel in array])


def has_geometry(path: Path) -> bool:
    """Whether the file tells the size of its voxels."""
    if path.suffix.lower() != ".npz":
        return False
    with _opened(path) as content:
        return not isinstance(content, np.ndarray) and "spacing" in content.files


def holds_case(path: Path) -> bool:
    """Whether an NPZ file holds an image and its label map, both named."""
    with _opened(path) as content:
        names = set() if isinstance(content, np.ndarray) else set(content.files)
        return all(names & set(keys) for keys in KEYS.values())


def _load(path: Path, role: Role) -> dict[str, np.ndarray]:
    """'array' and what tells where it lies."""
    with _opened(path) as content:
        if isinstance(content, np.ndarray):
            return {"array": content}
        arrays = [name for name in content.files if name not in GEOMETRY_KEYS]
        matching = [name for name in KEYS[role] if name in arrays]
        if not matching and len(arrays) != 1:
            raise DataError(
                f"{path} has no array named '{KEYS[role][0]}' but: {', '.join(arrays) or 'nothing'}. "
                f"Save it under that name: numpy.savez(file, {KEYS[role][0]}=array, spacing=(z, y, x))."
            )
        keys = {"array": (matching or arrays)[0], **{name: name for name in GEOMETRY_KEYS if name in content.files}}
        for name in keys.values():
            _refuse_oversized_member(content.zip, name, path)
        return {key: content[name] for key, name in keys.items()}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An array, or the arrays of an NPZ file, which are read when they are asked for."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) == MAGIC:
                stream.seek(0)
                _refuse_oversized(stream, path.stat().st_size, path)
            stream.seek(0)
            yield np.load(stream, allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def _refuse_oversized_member(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """The same of an array in an NPZ file, whose member is ``name`` with or without ``.npy``."""
    member = next((archive.getinfo(n) for n in (f"{name}.npy", name) if n in archive.namelist()), None)
    if member is None:
        return
    with archive.open(member) as stream:
        if stream.read(len(MAGIC)) == MAGIC:
            stream.seek(0)
            _refuse_oversized(stream, member.file_size, path)


def _refuse_oversized(stream: IO[bytes], held: int, path: Path) -> None:
    """Raises DataError where an NPY header promises other than the ``held`` bytes of its file, or more than memory."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    promised = math.prod(shape) * kind.itemsize
    if promised > held and not kind.hasobject:
        raise DataError(
            f"{path} is damaged: it holds {held} bytes and promises an array of shape {shape}. Save it again."
        )
    refuse_beyond_memory(path, promised, f"an array of shape {shape}")


def _as_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """In a type that images have, in this machine's byte order."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path} holds values of type {array.dtype}. Save whole or real numbers.")
    dtype = {2: "f4", 4: "f4"}.get(array.dtype.itemsize, "f8") if array.dtype.kind == "f" else array.dtype
    return array.astype(np.dtype(dtype).newbyteorder("="), copy=False)


def _placed(array: np.ndarray, arrays: Mapping[str, np.ndarray], path: Path) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    spacing = _numbers(arrays, "spacing", (3, 2), path)
    if spacing is not None:
        if not (spacing > 0).all():
            raise DataError(f"{path}: spacing is {spacing.tolist()} mm. Give the size of a voxel along z, y and x.")
        image.SetSpacing([*spacing[::-1].tolist(), 1.0][:3])
    origin, direction = _numbers(arrays, "origin", (3,), path), _numbers(arrays, "direction", (9,), path)
    if origin is not None:
        image.SetOrigin(origin.tolist())
    if direction is not None:
        if abs(np.linalg.det(direction.reshape(3, 3))) < 0.1:
            raise DataError(f"{path}: direction is {direction.tolist()}. Give three unit vectors as columns.")
        image.SetDirection(direction.tolist())
    return image


def _numbers(arrays: Mapping[str, np.ndarray], key: str, sizes: tuple[int, ...], path: Path) -> np.ndarray | None:
    if key not in arrays:
        return None
    values = arrays[key].ravel()
    if values.size not in sizes or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError(f"{path}: '{key}' must be {sizes[0]} numbers, not {arrays[key].tolist()!r}.")
    return values.astype(float)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).rstrip(".") or "it is empty or damaged"
    if "allow_pickle" in reason:
        reason = "it holds Python objects, which may run code when they are read"
    return DataError(f"{path} cannot be read as an array: {reason}. Save it again as numbers.")


def write_array(image: sitk.Image, stream: BinaryIO) -> None:
    """The numbers of an image as a ``.npy`` file, (z, y, x)."""
    content = io.BytesIO()  # numpy names no reason where a real file cannot take it all
    np.save(content, sitk.GetArrayViewFromImage(image), allow_pickle=False)
    stream.write(content.getvalue())
