"""Layout with a folder for each case that holds its image and a folder with a mask for each class.

As TotalSegmentator's data set and its results have it: ``s0001/ct.nii.gz`` and ``s0001/segmentations/liver.nii.gz``.
The name of a mask is that of its class. A class whose mask a case lacks is unknown there, unless ``drawn.json`` says
that it was looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.case_folders import case_channels, is_label_file, refuse_different
from MedSegTrainerLib.data.layouts.dataset_json import channel_names, label_names, read_description
from MedSegTrainerLib.data.layouts.drawn_classes import FILE as DRAWN
from MedSegTrainerLib.data.layouts.drawn_classes import read_drawn
from MedSegTrainerLib.data.layouts.flat_folders import files_by_name, whole
from MedSegTrainerLib.data.layouts.name_pairs import is_label_name
from MedSegTrainerLib.errors import DataError, did_you_mean, some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.dicom import holds_series
from MedSegTrainerLib.imaging.read import case_name, image_files

MASK_FOLDERS = (
    "segmentations", "segmentation", "masks", "mask", "labels", "label", "segs", "seg", "structures",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MaskFolder:
    """A case's folder. channels: name to image file, in order. masks: class to file. labels: label maps beside them."""

    path: Path
    channels: dict[str, Path]
    masks: dict[str, Path]
    labels: Sequence[Path]

    @property
    def has_label_map(self) -> bool:
        return any(is_label_file(path, self.path) for path in self.labels)


def mask_folders(root: Path, data: DataConfig) -> Dataset | None:
    """None where no folder in ``root`` holds both an image and a folder of masks.

    ``data.label_name`` names that folder, and ``data.mask_names`` the classes to take. Raises DataError where cases
    have a label map beside the masks or different channels, and where no case has a class that is asked for.
    """
    inside = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [_read_folder(path, data) for path in inside]
    whole_cases = [each for each in found if each.channels and each.masks]
    if not whole_cases or (not data.label_name and all(each.has_label_map for each in whole_cases)):
        return None  # a label map is the simpler layout, as it was before masks were read
    found = [each for each in found if each.channels or each.masks]
    _refuse_label_maps(found, data)
    classes = _classes(whole_cases, data.mask_names, root)
    message, findings = _incomplete(found, classes)
    found = [each for each in whole_cases if not each.masks.keys().isdisjoint(classes)]
    refuse_different([(each.path, each.channels) for each in found])
    drawn = read_drawn(root / DRAWN)
    names = list(found[0].channels)
    is_named = all(each.channels.keys() == found[0].channels.keys() for each in found)  # ct.nii.gz says what it is
    description = read_description(root)
    channels = f"; channels {', '.join(names)}" if len(names) > 1 else ""
    dataset = Dataset(
        root=root,
        layout=f"a folder for each case with a mask for each class ({len(classes)} classes{channels})",
        cases=tuple(_case(each, classes, is_told=each.path.name in drawn) for each in found),
        label_names=_numbers(classes, label_names(description, root)),
        channel_names=channel_names(description, root) or (tuple(names) if is_named else ()),
    )
    return whole(dataset, message, findings)


def _read_folder(folder: Path, data: DataConfig) -> MaskFolder:
    masks_in = _folder_of_masks(folder, data.label_name)
    files = image_files(folder)
    labels = [path for path in files if is_label_file(path, folder) or is_label_name(case_name(path))]
    images = [path for path in files if path not in (masks_in, *labels)]
    masks = {} if masks_in is None else files_by_name(masks_in)
    if len(masks) == 1 and masks_in is not None and is_label_file(next(iter(masks.values())), folder):
        masks = {}  # segmentations/seg.nii.gz is the label map of all classes
    return MaskFolder(path=folder, channels=case_channels(images, folder, data.image_names), masks=masks, labels=labels)


def _folder_of_masks(folder: Path, name: str) -> Path | None:
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    wanted = (name.lower(),) if name else MASK_FOLDERS
    return next((folders[one] for one in wanted if one in folders and not holds_series(folders[one])), None)


def _case(folder: MaskFolder, classes: Sequence[str], *, is_told: bool) -> Case:
    """is_told: whether somebody says which classes were looked for."""
    masks = {name: folder.masks[name] for name in classes if name in folder.masks}
    return Case(
        name=folder.path.name,
        images=tuple(folder.channels.values()),
        label=next(iter(masks.values())),
        masks=masks,
        drawn=None if is_told or len(masks) == len(classes) else tuple(masks),
    )


def _classes(folders: Sequence[MaskFolder], wanted: Sequence[str], root: Path) -> list[str]:
    """Names of the classes, in the order that is asked for, else by name."""
    names = sorted({name for folder in folders for name in folder.masks})
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise DataError(
            f"{root}: data.mask_names asks for {some(unknown)}, and no case has such a mask."
            f"{did_you_mean(unknown[0], names)}"
        )
    return list(dict.fromkeys(wanted)) or names


def _numbers(classes: Sequence[str], listed: dict[int, str]) -> dict[int, str]:
    """Numbers of the classes: those of ``dataset.json`` where it has all of them, else from 1 on."""
    value_of = {name: value for value, name in listed.items()}
    if value_of.keys() >= set(classes):
        return {value_of[name]: name for name in classes}
    return dict(enumerate(classes, start=1))


def _refuse_label_maps(folders: Sequence[MaskFolder], data: DataConfig) -> None:
    both = [folder for folder in folders if folder.masks and folder.labels]
    if both and not data.label_name:
        file, masks = both[0].labels[0], next(iter(both[0].masks.values())).parent
        raise DataError(
            f"{both[0].path} holds the label map {file.name} and masks in {masks.name}/, as do {len(both)} folders. "
            f"Say which to take: --set label_name={masks.name}, or --set label_name={file.name}."
        )


def _incomplete(folders: Sequence[MaskFolder], classes: Sequence[str]) -> tuple[str, list[Finding]]:
    """Folders without image, or masks of the classes: a sentence about all, and a finding for each."""
    without = {
        "image": [folder.path.name for folder in folders if not folder.channels],
        "folder with masks": [folder.path.name for folder in folders if not folder.masks],
        f"mask of {some(classes)}": [
            folder.path.name for folder in folders if folder.masks and folder.masks.keys().isdisjoint(classes)
        ],
    }
    counts = "; ".join(
        f"{len(names)} case folders have no {what}: {some(names)}" for what, names in without.items() if names
    )
    remedy = "Add them, move the folders away, or give the names: data.image_names, data.label_name."
    findings = [
        Finding(
            case=name,
            severity="error",
            kind="file without counterpart",
            message=f"its folder has no {what}.",
            remedy=remedy,
        )
        for what, names in without.items()
        for name in names
    ]
    return f"{folders[0].path.parent}: {counts}. {remedy}", findings
