"""Layouts with files of all cases in one or two folders: nnU-Net, Decathlon, images and labels, NPZ files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from MedSegTrainerLib.data.dataset import Case, Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.dataset_json import channel_names, inside, label_names, read_description
from MedSegTrainerLib.data.layouts.name_pairs import IMAGE_WORD, is_label_name, pair_by_name
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.files.regular_file import refuse_no_file
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.label_grid import SEGMENTATION_SUFFIXES
from MedSegTrainerLib.imaging.numpy_files import holds_case
from MedSegTrainerLib.imaging.read import case_name, image_files

STRAY = "Name them CASE_0000 (nnU-Net's first channel) like the others, or move them away."
CHANNEL = re.compile(r"(.+)_(\d{4})")
USUAL_FOLDERS = (("images", "labels"), ("images", "masks"), ("imagesTr", "labelsTr"))
IMAGE_FOLDERS = ("image", "images", "img", "imgs", "imagestr", "volume", "volumes", "scans")
LABEL_FOLDERS = (
    "label", "labels", "mask", "masks", "labelstr", "seg", "segs", "segmentation", "segmentations", "annotations", "gt",
)  # fmt: skip


def nnunet(root: Path) -> Dataset | None:
    """``imagesTr/CASE_0000.ext`` (one file a channel) and ``labelsTr/CASE.ext``."""
    images, labels = root / "imagesTr", root / "labelsTr"
    if not images.is_dir() or not labels.is_dir():
        return None
    channels: dict[str, dict[int, Path]] = {}
    strays: dict[str, Path] = {}
    for path in image_files(images):
        numbered = CHANNEL.fullmatch(case_name(path))
        if numbered:
            channels.setdefault(numbered[1], {})[int(numbered[2])] = path
        else:
            strays[case_name(path)] = path
    by_name = files_by_name(labels)
    if not channels.keys() & by_name.keys():
        return None
    problem, findings = unpaired(set(channels) - set(strays), set(by_name) - set(strays), images, labels)
    if strays:
        count = len(strays) + sum(map(len, channels.values()))
        problem = f"{len(strays)} of {count} images in {images} without channel number: {some(sorted(strays))}. {STRAY}"
        findings += [_stray(name, path) for name, path in strays.items()]
    description = read_description(root)
    counts = {name: len(files) for name, files in channels.items()}
    most = max(counts.values())
    short = sorted(name for name, files in channels.items() if sorted(files) != list(range(most)))
    if short:
        problem = (
            problem or f"Of {most} channels some are missing in {images}: {some(short)}. Add CASE_0000 and following."
        )
        findings += [_no_channel(name, sorted(channels[name]), most) for name in short]
    cases = tuple(
        Case(name=name, images=tuple(channels[name][i] for i in range(most)), label=by_name[name])
        for name in sorted((channels.keys() & by_name.keys()) - set(short))
    )
    dataset = Dataset(
        root=root,
        layout="nnU-Net",
        cases=cases,
        label_names=label_names(description, root),
        channel_names=channel_names(description, root),
    )
    return whole(dataset, problem, findings)


def decathlon(root: Path) -> Dataset | None:
    """Medical Segmentation Decathlon: ``dataset.json`` lists the training pairs."""
    description = read_description(root)
    if not isinstance(description.get("training"), list):
        return None
    cases, missing = [], []
    for entry in description["training"]:
        if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
            raise DataError(
                f"{root / 'dataset.json'}: each entry of 'training' needs 'image' and 'label', not {entry!r}."
            )
        image, label = inside(root, entry["image"]), inside(root, entry["label"])
        missing += [(case_name(image), path) for path in (image, label) if not path.exists()]
        cases.append(Case(name=case_name(image), images=(image,), label=label))
    if not cases:
        raise DataError(f"{root / 'dataset.json'} lists no training cases.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{root / 'dataset.json'} lists several images of one name: {some(twice)}. Rename them.")
    message = (
        f"{root / 'dataset.json'} lists {len(missing)} files that are not there: "
        f"{some([str(path) for _, path in missing])}. Add the files, or remove their entries."
    )
    complete = [case for case in cases if case.name not in {name for name, _ in missing}]
    dataset = Dataset(
        root=root,
        layout="Decathlon",
        cases=tuple(sorted(complete, key=lambda case: case.name)),
        label_names=label_names(description, root),
        channel_names=channel_names(description, root),
    )
    return whole(dataset, message, [missing_file_finding(name, path) for name, path in missing])


def two_folders(root: Path) -> Dataset | None:
    """``images/`` and ``labels/`` or ``masks/`` (also ``imagesTr``/``labelsTr``, ``img``/``label`` and others), paired
    by equal names, or by what is left of them without the words for image and label map."""
    for images, labels in _folder_pairs(root):
        image_of, label_of = files_by_name(images), files_by_name(labels)
        if not image_of and not label_of:
            continue
        if not image_of.keys() & label_of.keys():
            image_of, label_of = pair_by_name(image_of, label_of)
        message, findings = unpaired(set(image_of), set(label_of), images, labels)
        return whole(_pairs(root, f"{images.name}/ and {labels.name}/", image_of, label_of), message, findings)
    return None


def _folder_pairs(root: Path) -> Iterator[tuple[Path, Path]]:
    """Folders for images and for label maps, those with the usual names first."""
    for images, labels in USUAL_FOLDERS:
        if (root / images).is_dir() and (root / labels).is_dir():
            yield root / images, root / labels
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    image_folders = [path for path in folders if path.name.lower() in IMAGE_FOLDERS]
    label_folders = [path for path in folders if path.name.lower() in LABEL_FOLDERS]
    if len(image_folders) == len(label_folders) == 1:  # of several nobody knows which is meant
        yield image_folders[0], label_folders[0]


def one_folder(root: Path) -> Dataset | None:
    """``image_0001.ext`` beside ``mask_0001.ext``, ``volume-0.ext`` beside ``segmentation-0.ext``, ``CASE.ext``,
    ``CASE_image.ext`` or ``CASE_T1w.ext`` beside ``CASE_label.ext``, ``CASE_seg.ext`` or ``CASE.seg.nrrd``."""
    found = image_files(root)
    segmentations = _named(path for path in found if path.name.lower().endswith(SEGMENTATION_SUFFIXES))
    files = _named(path for path in found if path not in segmentations.values())
    labels = {name: path for name, path in files.items() if is_label_name(name)}
    images = {name: path for name, path in files.items() if IMAGE_WORD.search(name) and name not in labels}
    others = {name: path for name, path in files.items() if name not in labels}
    labels |= {name: path for name, path in segmentations.items() if name not in labels}
    image_of, label_of = pair_by_name(images or others, labels)
    if not image_of.keys() & label_of.keys() or (not images and image_of.keys() != label_of.keys()):
        return None
    message, findings = unpaired(set(image_of), set(label_of), root, root)
    return whole(_pairs(root, "image_* and mask_* files", image_of, label_of), message, findings)


def array_files(root: Path) -> Dataset | None:
    """``CASE.npz`` files that hold image and label map of their case."""
    files = [path for path in image_files(root) if path.suffix.lower() == ".npz"]
    for path in files:
        refuse_no_file(path)
    whole = [path for path in files if holds_case(path)]
    if not whole:
        return None
    if len(whole) < len(files):
        rest = sorted(path.name for path in set(files) - set(whole))
        raise DataError(f"{some(rest)} in {root} lack the array 'image' or 'label'. Add it, or move the files away.")
    of = {case_name(path): path for path in whole}
    return _pairs(root, "NPZ files with image and label", of, of)


def whole(dataset: Dataset, message: str, findings: list[Finding]) -> Dataset:
    """The data set; raises IncompleteError with ``message`` where there are findings."""
    if findings:
        raise IncompleteError(message, dataset, findings)
    return dataset


def unpaired(images: set[str], labels: set[str], image_folder: Path, label_folder: Path) -> tuple[str, list[Finding]]:
    """Images and labels without their counterpart: a sentence about all, and a finding for each."""
    problems = []
    if images - labels:
        problems.append(
            f"{len(images - labels)} images in {image_folder} have no label: {some(sorted(images - labels))}"
        )
    if labels - images:
        problems.append(
            f"{len(labels - images)} labels in {label_folder} have no image: {some(sorted(labels - images))}"
        )
    remedy = "Names must be equal; add the missing files or move the others away."
    findings = [_unpaired_file(name, f"image in {image_folder} has no label map") for name in sorted(images - labels)]
    findings += [_unpaired_file(name, f"label map in {label_folder} has no image") for name in sorted(labels - images)]
    return f"{'; '.join(problems)}. {remedy}" if problems else "", findings


def missing_file_finding(case: str, path: Path) -> Finding:
    return Finding(
        case=case,
        severity="error",
        kind="missing file",
        message=f"{path} is listed, and is not there.",
        remedy="Add the file, or remove the case from the list.",
    )


def _unpaired_file(case: str, problem: str) -> Finding:
    return Finding(
        case=case,
        severity="error",
        kind="file without counterpart",
        message=f"its {problem}.",
        remedy="Names must be equal: add the missing file, rename it, or move this one away.",
    )


def _stray(case: str, path: Path) -> Finding:
    return Finding(
        case=case,
        severity="error",
        kind="image without channel number",
        message=f"{path} has no channel number, as the other images there have.",
        remedy=STRAY,
    )


def _no_channel(case: str, present: list[int], most: int) -> Finding:
    lacking = ", ".join(f"_{number:04d}" for number in range(most) if number not in present)
    return Finding(
        case=case,
        severity="error",
        kind="missing channel",
        message=f"of {most} channels it lacks {lacking or 'some'}.",
        remedy="Add the file, or remove the case.",
    )


def _pairs(root: Path, layout: str, image_of: dict[str, Path], label_of: dict[str, Path]) -> Dataset:
    """Cases under the names of their image files, which are also those of what is predicted for them."""
    description = read_description(root)
    return Dataset(
        root=root,
        layout=layout,
        cases=tuple(
            Case(name=case_name(image_of[key]), images=(image_of[key],), label=label_of[key])
            for key in sorted(image_of.keys() & label_of.keys())
        ),
        label_names=label_names(description, root),
        channel_names=channel_names(description, root),
    )


def files_by_name(folder: Path) -> dict[str, Path]:
    """The image files of a folder by case name; two of one name are refused, for one would be lost unseen."""
    return _named(image_files(folder))


def _named(files: Iterable[Path]) -> dict[str, Path]:
    path_of: dict[str, Path] = {}
    for path in files:
        other = path_of.setdefault(case_name(path), path)
        if other is not path:
            raise DataError(f"{other} and {path.name} have the same case name. Keep one, or rename the other.")
    return path_of
