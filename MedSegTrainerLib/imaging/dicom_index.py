"""Which DICOM series, and what else of DICOM, lie in a folder and those below it: by what files say, not by names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MedSegTrainerLib.imaging.dicom import is_image_class, series_files, storage_class
from MedSegTrainerLib.imaging.dicom_dataset import read_dataset

DEEPEST = 4  # patient, study, series, and one more


@dataclass(frozen=True, kw_only=True)
class DicomIndex:
    """series: UID to the folder with its images. others: files that are no images."""

    series: Mapping[str, Path]
    others: Sequence[Path]


def index_dicom(folder: Path) -> DicomIndex:
    """What lies in a folder and those below it.

    Of a folder whose first and last image are of one series the others are not opened.
    """
    series: dict[str, Path] = {}
    others: list[Path] = []
    for place in _folders(folder, DEEPEST):
        files = {path: storage_class(path) for path in series_files(place)}
        images = [path for path, name in files.items() if is_image_class(name)]
        others += [path for path in files if path not in set(images)]
        ends = {uid for path in {*images[:1], *images[-1:]} if (uid := series_uid(path))}
        found = ends if len(ends) < 2 else {uid for path in images if (uid := series_uid(path))}
        for uid in found:
            series.setdefault(uid, place)
    return DicomIndex(series=series, others=others)


def series_uid(path: Path) -> str:
    """The UID of the series that a file belongs to, '' where it does not say it."""
    return str(read_dataset(path, pixels=False).get("SeriesInstanceUID") or "")


def _folders(folder: Path, levels: int) -> Iterator[Path]:
    yield folder
    if levels:
        for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield from _folders(inner, levels - 1)
