"""The copy of what a model drew, as its job wrote it: NRRD, which is read some planes at a time."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from slicer.i18n import tr as _

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.label_files import layer_numbers
from MedSegTrainerUI.scene.result_origin import Origin, Place, copy_checksum, origin_of, remember_origin
from MedSegTrainerUI.scene.segment_classes import SegmentClass, same_name
from MedSegTrainerUI.scene.segment_layers import segment_ids, segment_name
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode

TYPES = {
    "uint8": "u1", "uchar": "u1", "unsigned char": "u1", "uint8_t": "u1", "int8": "i1", "signed char": "i1",
    "short": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2", "unsigned short": "u2", "uint16": "u2",
    "uint16_t": "u2", "int": "i4", "int32": "i4", "int32_t": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4",
    "uint32_t": "u4",
}  # fmt: skip
FIELD = re.compile(rb"^([a-z ]+): *(.*?) *$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionCopy:
    """size: (x, y, z) in voxels; layers: numbers a voxel; the rest is how the ``content`` of the file holds them."""

    size: tuple[int, int, int]
    layers: int
    dtype: np.dtype[np.integer]
    packed: bool
    content: bytes

    def planes(self, count: int) -> Iterator[np.ndarray]:
        """The voxels (z, y, x, layer), ``count`` planes z at a time. Raises DataError where some are missing."""
        x, y, z = self.size
        stream: IO[bytes] = io.BytesIO(self.content)
        if self.packed:
            stream = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment]
        for first in range(0, z, count):
            shape = min(count, z - first), y, x, self.layers
            wanted = int(np.prod(shape)) * self.dtype.itemsize
            try:
                voxels = stream.read(wanted)
            except (OSError, EOFError, zlib.error):
                voxels = b""
            if len(voxels) != wanted:
                raise DataError(_("The copy of what the model drew is damaged."))
            yield np.frombuffer(voxels, self.dtype).reshape(shape)


def mark_result(
    segmentation: SegmentationNode,
    origin: Origin,
    classes: Sequence[LabelClass | SegmentClass],
    channels: Sequence[VolumeNode] = (),
) -> None:
    """To be called when the file ``origin.prediction`` was imported into the node as ``classes``, before anybody
    changes it: what differs from it later was drawn by the user.

    channels: the further volumes of the case, behind the one that the segmentation lies on; None for one that is gone.
    Segments that are no classes were there before: they are left out of every comparison. Raises DataError where the
    copy cannot be read.
    """
    path = Path(origin.prediction)
    places = _places(segmentation, layer_numbers(path), classes)
    remember_origin(segmentation, origin, places, _checksum(_read(path)), channels)


def open_copy(segmentation: SegmentationNode) -> PredictionCopy:
    """That of a result. Raises DataError where it is gone, or another file than was imported."""
    origin = origin_of(segmentation)
    if origin is None or not origin.prediction:
        raise DataError(_gone(_("these segments were moved here from a result of a model")))
    content = _read(Path(origin.prediction))
    if _checksum(content) != copy_checksum(segmentation):
        raise DataError(_gone(_("{path} is another file now").format(path=origin.prediction)))
    return _parse(content, origin.prediction)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise DataError(_gone(_("the copy of what the model drew, {path}, is not there").format(path=path))) from None


def _gone(why: str) -> str:
    text = _(
        "Which slices were corrected cannot be told: {why}. Look at all of it and say so ('I looked at all of it', in "
        "the column 'Drawn'), or take the check mark away."
    )
    return text.format(why=why)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parse(content: bytes, path: str) -> PredictionCopy:
    """Raises DataError where it is not as jobs write it."""
    header, _blank, voxels = content.partition(b"\n\n")
    fields = {name.decode(): value.decode(errors="replace") for name, value in FIELD.findall(header)}
    try:
        sizes = [int(one) for one in fields["sizes"].split()]
        code, encoding = TYPES[fields["type"]], fields["encoding"]
        layers, size = (sizes[0], sizes[1:]) if len(sizes) == 4 else (1, sizes)
        if not content.startswith(b"NRRD") or len(size) != 3 or min(sizes) < 1:
            raise ValueError(sizes)
        packed = {"gzip": True, "gz": True, "raw": False}[encoding]
    except (KeyError, ValueError):
        raise DataError(_gone(_("{path} is no label map that a model wrote").format(path=path))) from None
    order = ">" if fields.get("endian") == "big" else "<"
    x, y, z = size
    return PredictionCopy(size=(x, y, z), layers=layers, dtype=np.dtype(order + code), packed=packed, content=voxels)


def _places(
    segmentation: SegmentationNode,
    numbers: Mapping[int, Mapping[str, int]],
    classes: Sequence[LabelClass | SegmentClass],
) -> dict[str, Place | None]:
    """numbers: of the segments in each layer, by their names; of two with one name the import fills the first."""
    known: dict[str, Place] = {same_name(item.name): (0, item.value) for item in classes}
    if numbers:
        absent = dict.fromkeys(known, (0, 0))
        told = {same_name(name): (layer, value) for layer, own in numbers.items() for name, value in own.items()}
        known = {name: told.get(name, place) for name, place in absent.items()}
    places: dict[str, Place | None] = {}
    for segment_id in segment_ids(segmentation):
        places[segment_id] = known.pop(same_name(segment_name(segmentation, segment_id)), None)
    return places
