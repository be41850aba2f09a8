"""Multi-frame DICOM images (enhanced CT, MR and PET): a volume in one file, by what stands of each of its frames.

Frames are slices in the order of their places. Rescale slope and intercept are applied, so that CT comes in Hounsfield
units; in PET they may differ from frame to frame (PS3.3, C.7.6.16).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.pixels import get_decoder, iter_pixels

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_dataset import FunctionalGroups, numbers, read_dataset, read_in_words
from MedSegTrainerLib.imaging.frame_stack import frame_planes
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.plane_order import in_order
from MedSegTrainerLib.imaging.size_limits import refuse_beyond_memory

FLOAT_BYTES = 4
SCALED_BY_FRAME = ("PT", "NM")  # as counts decay
GRAYSCALE_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture: pixels and no more
OF_PIXELS = (
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData",
)  # fmt: skip


def tells_of_frames(path: Path) -> bool:
    """Whether a file says of each frame where it lies."""
    return "PerFrameFunctionalGroupsSequence" in read_dataset(path, pixels=False)


def read_frames(path: Path) -> sitk.Image:
    """The volume of a file: whole numbers where all frames have one whole slope and intercept, else float32.

    Raises DataError where it is damaged or in colours, where frames do not lie in a straight and even stack, several
    lie at one place, or have scales that should be one.
    """
    dataset = read_dataset(path)
    with read_in_words(path):
        if int(dataset.get("SamplesPerPixel") or 1) != 1:
            raise DataError(f"{path} is a DICOM file of colour pictures, and no volume. Save those that matter as PNG.")
        planes, spacing = frame_planes(dataset, path)
        order, gap = in_order(planes, path)
        size = (int(dataset.Columns), int(dataset.Rows), len(order))
        refuse_beyond_memory(path, math.prod(size) * FLOAT_BYTES, " x ".join(map(str, size)) + " voxels")
        scales = _scales(dataset, len(order))
        if dataset.get("Modality") not in SCALED_BY_FRAME:
            _refuse_different(scales, path)
        volume = _volume(_pixels(dataset, order), scales[order])
        first = planes.positions[order[0]]
        axes = np.column_stack([planes.row, planes.column, planes.normal])
        return Geometry(
            size=size,
            spacing=(*spacing, gap),
            origin=(float(first[0]), float(first[1]), float(first[2])),
            direction=tuple(axes.ravel().tolist()),
        ).place(volume)


def _scales(dataset: pydicom.Dataset, count: int) -> np.ndarray:
    """Slope and intercept of each frame, (n, 2)."""
    groups = FunctionalGroups(dataset)

    def number(frame: int, keyword: str, usual: float) -> float:
        found = groups.numbers(frame, "PixelValueTransformationSequence", keyword, 1)
        found = numbers(dataset, keyword, 1) if found is None else found
        return usual if found is None else float(found[0])

    return np.array(
        [(number(frame, "RescaleSlope", 1), number(frame, "RescaleIntercept", 0)) for frame in range(count)]
    )


def _refuse_different(scales: np.ndarray, path: Path) -> None:
    other = int((scales != scales[0]).any(axis=1).argmax())
    if other:
        raise DataError(
            f"{path}: its frames have different scales (slope and intercept {scales[0][0]:g} and {scales[0][1]:g} in "
            f"frame 1, {scales[other][0]:g} and {scales[other][1]:g} in frame {other + 1}), as pictures of several "
            "kinds have. Export those that belong together as a file or series of their own."
        )


def _volume(frames: Iterable[np.ndarray], scales: np.ndarray) -> np.ndarray:
    """Frames with their scales as (z, y, x)."""
    if (scales == scales[0]).all() and (scales == np.rint(scales)).all():
        slope, intercept = scales[0].astype(np.int64)
        values = np.stack([slope * frame.astype(np.int64) + intercept for frame in frames])
        kind = np.int16 if values.min() >= -(2**15) and values.max() < 2**15 else np.int32
        return values.astype(kind)
    return np.stack(
        [np.float32(slope * frame + intercept) for frame, (slope, intercept) in zip(frames, scales, strict=True)]
    )


def _pixels(dataset: pydicom.Dataset, order: Sequence[int]) -> Iterator[np.ndarray]:
    """Stored values (rows, columns) of the frames in this order; GDCM unpacks what pydicom cannot."""
    if get_decoder(dataset.file_meta.TransferSyntaxUID).is_available:
        yield from iter_pixels(dataset, indices=list(order))
        return
    with TemporaryDirectory() as folder:
        array = sitk.GetArrayFromImage(_stored_image(dataset, Path(folder) / "frames.dcm"))
    yield from (array[frame] for frame in order)


def _stored_image(dataset: pydicom.Dataset, path: Path) -> sitk.Image:
    """The frames in the order of the file, without places and scales, as GDCM unpacks them."""
    bare = pydicom.Dataset()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.SOPClassUID, bare.SOPInstanceUID = GRAYSCALE_CAPTURE, "1.2.3"
    bare.file_meta.MediaStorageSOPClassUID, bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPClassUID, "1.2.3"
    for keyword in OF_PIXELS:
        bare[keyword] = dataset[keyword]
    bare.save_as(path, enforce_file_format=True)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader.Execute()
