"""DICOM: a folder with the slices of a series as a volume, or a file with one slice or with all frames of a volume.

Slices are ordered by where they lie, not by name or number. What is not an image of the series stays out: other
files, structure sets, reports. Rescale slope and intercept are applied, so CT comes in Hounsfield units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.dicom_frames import read_frames, tells_of_frames
from MedSegTrainerLib.imaging.file_formats import START, looks_like_dicom
from MedSegTrainerLib.imaging.plane_order import Planes, in_order

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
# (0002,0002) Media Storage SOP Class UID, or in a file without preamble (0008,0016), whose type need not stand there
CLASS_ELEMENT = re.compile(rb"(?:\x02\0\x02\0UI..|\x08\0\x16\0(?:UI..|.\0\0\0))([0-9.]+[\0 ]?)", re.DOTALL)
HEAD_BYTES = 1024
# SOP classes that are no images: DICOMDIR, presentation states, reports, documents, raw data, segmentations,
# RT structure sets, plans and records (PS3.6, annex A)
STORAGE = "1.2.840.10008.5.1.4.1.1."
OTHERS = ("9.", "11.", "66", "88.", "104.", "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9")
NO_IMAGES = ("1.2.840.10008.1.3.10", *(STORAGE + part for part in OTHERS))
KIND_NAMES = {
    STORAGE + "66.4": "DICOM segmentation (SEG)",
    STORAGE + "66.7": "DICOM segmentation (SEG)",
    STORAGE + "481.3": "structure set (RTSTRUCT)",
}
LABELS = "which is labels and no image"
FILMS = tuple(STORAGE + part for part in ("3.", "6.", "12.", "77.1."))  # ultrasound, X-ray, endoscopes
VOLUME = (
    "where each lies does not stand in it (Per-Frame Functional Groups), so that slices would come to lie in wrong "
    "places. Convert it to NIfTI with dcm2niix, or load it in 3D Slicer and save the volume as NIfTI or NRRD."
)
SEVERAL = "one of several of its series, and each such file is a volume. Put it into a folder of its own."
FILM = "the pictures of a film or a set, not slices of a volume. Save those that matter as PNG files, one a frame."
FEW_FILES = 30  # looked at in a folder before it is taken for one without DICOM
SCOUT = 0.5  # a series with fewer than this share of the slices of the largest is a scout or a key image


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Header of a file: position and axes in LPS mm; ``position`` is None where the file does not tell it."""

    path: Path
    series: str
    description: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    kind: int
    position: np.ndarray | None
    axes: tuple[float, ...]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its suffix, or by how it begins."""
    if not path.is_file():
        return False
    if path.name.lower().endswith(DICOM_SUFFIXES):
        return True
    with path.open("rb") as stream:
        return looks_like_dicom(stream.read(START))


def holds_series(folder: Path) -> bool:
    """Whether a folder holds DICOM files; of very many other files only the first are looked at."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    has_suffix = any(path.name.lower().endswith(DICOM_SUFFIXES) for path in files)
    return has_suffix or any(is_dicom(path) for path in files[:FEW_FILES])


def series_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and is_dicom(path))


def read_series(folder: Path) -> sitk.Image:
    """The volume whose slices lie in a folder.

    Beside it may lie scouts, series with less than half as many slices. Raises DataError where there are several
    series of about the same size, where slices are missing or lie unevenly, or a file is damaged.
    """
    files = series_files(folder)
    headers = [header for header in map(_read_header, files) if header is not None]
    if not headers:
        kinds = sorted({KIND_NAMES[kind] for kind in map(storage_class, files) if kind in KIND_NAMES})
        content = f" but a {kinds[0]}, {LABELS}" if kinds else ""
        raise DataError(f"{folder} holds no DICOM image{content}. Give the folder with the slices.")
    slices = _largest_series(headers, folder)
    if len(slices) == 1:
        return read_dicom(slices[0].path)
    framed = next((item for item in slices if _frames(item.size) > 1), None)
    if framed is not None:
        raise DataError(f"{framed.path} is a DICOM file of {_frames(framed.size)} frames: {SEVERAL}")
    ordered, gap = _in_order(slices, folder)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(item.path) for item in ordered])
    if len({item.kind for item in ordered}) > 1:  # PET: each slice has its own slope, and the first one decides
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        volume = reader.Execute()
    except RuntimeError as error:
        raise DataError(f"{folder}: the DICOM series cannot be read: {_reason(error)} Export it again.") from None
    first = ordered[0]
    volume.SetSpacing((*first.spacing[:2], gap))
    volume.SetOrigin(_position(first).tolist())
    volume.SetDirection(np.column_stack([*_in_plane(first), _normal(first)]).ravel().tolist())
    return volume


def read_dicom(path: Path) -> sitk.Image:
    """One file with one slice, or with the frames of a volume.

    Raises DataError where it is damaged, no image, or does not tell where its frames lie.
    """
    kind = storage_class(path)
    if kind in KIND_NAMES:
        raise DataError(f"{path} is a {KIND_NAMES[kind]}, {LABELS}. Give the folder with the slices.")
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
        frames = _frames(reader.GetSize())
        if frames == 1:
            return reader.Execute()
    except RuntimeError as error:
        raise DataError(f"{path} cannot be read as DICOM: {_reason(error)} Export it again.") from None
    film = (kind + ".").startswith(FILMS)
    if film or not tells_of_frames(path):  # ITK would place them by the first, in their order, with one slope
        raise DataError(f"{path} is a DICOM file of {frames} frames: {FILM if film else VOLUME}")
    return read_frames(path)


def _frames(size: tuple[int, ...]) -> int:
    return size[2] if len(size) > 2 else 1


def images_in(folder: Path) -> list[Path]:
    """The images of a folder with DICOM files: the folder itself, or its files where each is a series of its own."""
    series: set[str] = set()
    files = [path for path in series_files(folder) if is_image_class(storage_class(path))]
    for path in files:
        header = _read_header(path)
        if header is None or header.series in series:
            return [folder]
        series.add(header.series)
    return files if len(files) > 1 else [folder]


def _reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader


def _read_header(path: Path) -> Slice | None:
    """None for what is no image; raises DataError for an image that cannot be read."""
    if not is_image_class(storage_class(path)):
        return None
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path} is damaged: {_reason(error)} Copy or export the series again.") from None

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip("\0 ") if reader.HasMetaDataKey(key) else ""

    position = tag("0020|0032").split("\\")
    return Slice(
        path=path,
        series=tag("0020|000e"),
        description=tag("0008|103e") or "without description",
        size=reader.GetSize(),
        spacing=reader.GetSpacing(),
        kind=reader.GetPixelID(),
        axes=reader.GetDirection(),
        position=np.array([float(value) for value in position]) if len(position) == 3 else None,
    )


def is_image_class(name: str) -> bool:
    """Whether objects of a SOP class are images; those that do not say what they are may be."""
    return not name.startswith(NO_IMAGES)


def storage_class(path: Path) -> str:
    """The kind of object that a file says it is; '' where it does not."""
    with path.open("rb") as stream:
        match = CLASS_ELEMENT.search(stream.read(HEAD_BYTES))
    return "" if match is None else match[1].decode("ascii").strip("\0 ")


def _largest_series(headers: Sequence[Slice], folder: Path) -> list[Slice]:
    """The slices of the one series; a series has one size and one orientation."""
    groups: dict[tuple[str, tuple[int, ...], tuple[float, ...]], list[Slice]] = {}
    for header in headers:
        axes = tuple(round(value, 2) + 0.0 for value in header.axes)
        groups.setdefault((header.series, header.size, axes), []).append(header)
    largest, *others = sorted(groups.values(), key=_count, reverse=True)
    if others and _count(others[0]) > SCOUT * _count(largest):
        listed = some(
            [f"{_count(group)} slices ({group[0].description}), {group[0].path.name}" for group in [largest, *others]]
        )
        raise DataError(
            f"{folder} holds {len(groups)} series of images: {listed}. Put each series into a folder of its own."
        )
    return largest


def _count(group: Sequence[Slice]) -> int:
    return sum(_frames(header.size) for header in group)


def _in_order(slices: Sequence[Slice], folder: Path) -> tuple[list[Slice], float]:
    """Slices along their normal, and the distance between them in mm; raises DataError where it is not one."""
    without = [item.path.name for item in slices if item.position is None]
    if without:
        raise DataError(f"{folder}: {some(without)} do not tell where they lie (Image Position). Export them again.")
    row, column = _in_plane(slices[0])
    planes = Planes(
        names=[item.path.name for item in slices],
        positions=np.array([_position(item) for item in slices]),
        row=row,
        column=column,
        pixel=min(slices[0].spacing[:2]),
    )
    order, gap = in_order(planes, folder)
    return [slices[index] for index in order], gap


def _position(item: Slice) -> np.ndarray:
    assert item.position is not None
    return item.position


def _in_plane(item: Slice) -> tuple[np.ndarray, np.ndarray]:
    """Directions of a row (x) and of a column (y)."""
    rotation = np.array(item.axes).reshape(len(item.size), len(item.size))
    return rotation[:, 0], rotation[:, 1]


def _normal(item: Slice) -> np.ndarray:
    return np.cross(*_in_plane(item))


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = (lines[-1] if lines else "unknown reason").split("ERROR: ")[-1].split("):")[-1].strip()
    return last if last.endswith(".") else last + "."
