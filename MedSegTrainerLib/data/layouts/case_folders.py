"""Layout with a folder for each case: ``image.*`` and ``mask.*``, either of which may be a DICOM series folder.

In a case's folder the label map is ``mask``, ``label``, ``seg`` or ``segmentation`` (any ``.seg.nrrd`` too), and the
image is ``image``; several channels are ``image_0``, ``image_1`` or ``image_t1``, ``image_t2``. Where none is named so,
DICOM files that lie in the folder itself are the image, or every other image file is a channel, which all cases must
have alike; files named as label maps are none. The name of the case may stand before each (``BRATS_001_seg.nii.gz`` in
``BRATS_001/``). The settings ``data.image_names`` and ``data.label_name`` give other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.dataset_json import channel_names, label_names, read_description
from MedSegTrainerLib.data.layouts.flat_folders import whole
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.dicom import DICOM_SUFFIXES, holds_series
from MedSegTrainerLib.imaging.read import case_name, image_files

IMAGE_NAMES = ("image", "img", "volume")
CHANNEL_PREFIX = re.compile(r"^(image|img)[_-]")
LABEL_NAMES = ("mask", "label", "labels", "seg", "segmentation")
SLICER_SUFFIX = ".seg.nrrd"


@dataclass(frozen=True, kw_only=True)
class CaseFolder:
    """channels: name to file, in order; empty where there is no image."""

    path: Path
    channels: dict[str, Path]
    labels: tuple[Path, ...]


def case_folders(root: Path, data: DataConfig) -> Dataset | None:
    """None where no folder in ``root`` holds both an image and a label map.

    Raises DataError where a folder holds several label maps, or the cases have different channels.
    """
    inside = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    folders = [_read_case_folder(path, data) for path in inside]
    folders = [each for each in folders if each.channels or each.labels]
    if not any(each.channels and each.labels for each in folders):
        return None
    _refuse_several(folders)
    message, findings = _incomplete(folders, data)
    folders = [each for each in folders if each.channels and each.labels]
    refuse_different([(each.path, each.channels) for each in folders])
    names = list(folders[0].channels)
    description = read_description(root)
    channel_titles = channel_names(description, root) or (tuple(names) if len(names) > 1 else ())
    cases = tuple(
        Case(name=each.path.name, images=tuple(each.channels.values()), label=each.labels[0]) for each in folders
    )
    channels = f" (channels {', '.join(names)})" if len(names) > 1 else ""
    dataset = Dataset(
        root=root,
        layout=f"a folder for each case{channels}",
        cases=cases,
        label_names=label_names(description, root),
        channel_names=channel_titles,
    )
    return whole(dataset, message, findings)


def _read_case_folder(folder: Path, data: DataConfig) -> CaseFolder:
    files = image_files(folder)
    if data.label_name:
        labels = [path for path in files if _is_named(path, folder, data.label_name)]
    else:
        labels = [path for path in files if is_label_file(path, folder)]
    others = [] if data.image_names else [path for path in files if is_label_file(path, folder)]
    rest = [path for path in files if path not in (*labels, *others)]
    return CaseFolder(path=folder, channels=case_channels(rest, folder, data.image_names), labels=tuple(labels))


def case_channels(paths: Sequence[Path], folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Channel to image file of a case's folder, in order; ``paths``: its image files without label maps. names: those
    to take, where somebody says it."""
    files = {_short(path, folder): path for path in paths}
    if names:
        return {name: path for name in names for path in files.values() if _is_named(path, folder, name)}
    exact = [name for name in IMAGE_NAMES if name in files]
    if exact:
        return {exact[0]: files[exact[0]]}
    numbered = {CHANNEL_PREFIX.sub("", name): path for name, path in files.items() if CHANNEL_PREFIX.match(name)}
    loose = {name: path for name, path in files.items() if not path.name.lower().endswith(DICOM_SUFFIXES)}
    if not numbered and holds_series(folder):
        return {"DICOM": folder}
    chosen = numbered or loose
    return {name: chosen[name] for name in sorted(chosen, key=lambda name: (len(name) if name.isdigit() else 99, name))}


def is_label_file(path: Path, folder: Path) -> bool:
    """Whether a file of a case's folder is named as a label map."""
    return path.name.lower().endswith(SLICER_SUFFIX) or _short(path, folder) in LABEL_NAMES


def _is_named(path: Path, folder: Path, name: str) -> bool:
    return case_name(Path(name)).lower() in (_short(path, folder), case_name(path).lower())


def _short(path: Path, folder: Path) -> str:
    """The name in small letters, without the name of the case before it."""
    name = case_name(path).lower()
    return name.removeprefix(folder.name.lower()).lstrip("_-. ") or name


def _refuse_several(folders: Sequence[CaseFolder]) -> None:
    for folder in folders:
        if len(folder.labels) > 1:
            raise DataError(
                f"{folder.path} holds several label maps: {some([path.name for path in folder.labels])}. "
                "Keep one, or name the one to take: data.label_name."
            )


def _incomplete(folders: Sequence[CaseFolder], data: DataConfig) -> tuple[str, list[Finding]]:
    """Folders without image or label map: a sentence about all, and a finding for each."""
    images = ", ".join(data.image_names) or "image.*"
    labels = data.label_name or "mask.*, label.*, seg.* or segmentation.*"
    without = {
        f"image ({images})": [folder.path.name for folder in folders if not folder.channels],
        f"label map ({labels})": [folder.path.name for folder in folders if not folder.labels],
    }
    counts = "; ".join(
        f"{len(names)} case folders have no {what}: {some(names)}" for what, names in without.items() if names
    )
    findings = [
        Finding(
            case=name,
            severity="error",
            kind="file without counterpart",
            message=f"its folder has no {what}.",
            remedy="Add the file, move the folder away, or give the names: data.image_names, data.label_name.",
        )
        for what, names in without.items()
        for name in names
    ]
    remedy = "Add the files, move the folders away, or give the names: data.image_names, data.label_name."
    return f"{folders[0].path.parent}: {counts}. {remedy}", findings


def refuse_different(folders: Sequence[tuple[Path, Mapping[str, Path]]]) -> None:
    """Raises DataError where folders of cases, with their channels, have different ones.

    Several channels must have the same names everywhere; a single one may be named at will.
    """
    first, channels = folders[0]
    for folder, others in folders[1:]:
        if len(others) != len(channels) or (len(channels) > 1 and others.keys() != channels.keys()):
            raise DataError(
                f"{first.parent}: the cases have different images: {', '.join(channels)} in {first.name}, "
                f"{', '.join(others)} in {folder.name}. "
                "Give all of them the same, or name those to take: data.image_names."
            )
