"""Layout of BIDS: ``sub-*/anat`` with images, and label maps of them in ``derivatives/**/*_dseg.nii.gz``.

A label map belongs to the images of its subject and session that have its other entities (``run-2``), too: to those
that its JSON sidecar names as ``Sources``, whose suffix its ``space`` names, or of several kinds those on its own grid.
Names of the classes are those of ``dseg.tsv``. Subjects without label map are not labelled yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.bids_images import channels_of, has_image
from MedSegTrainerLib.data.layouts.bids_names import LABELS, BidsName, asks_for, joined, read_name
from MedSegTrainerLib.data.layouts.bids_table import read_table, table_of
from MedSegTrainerLib.data.layouts.case_folders import refuse_different
from MedSegTrainerLib.data.layouts.flat_folders import whole
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.read import image_suffix

SUBJECTS = "sub-*"
THREADS = 4


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """A label map and what its name says."""

    path: Path
    name: BidsName

    @property
    def case(self) -> str:
        return joined(self.name.source)


def bids(root: Path, data: DataConfig) -> Dataset | None:
    """None where there are no subjects, or no label maps of them.

    ``data.label_name`` is a part of the names of the label maps to take (``desc-manual``), ``data.image_names`` are
    those of the images (``T1w``, ``acq-fast_FLAIR``). Raises DataError where nobody knows which to take.
    """
    subjects = sorted(path for path in root.glob(SUBJECTS) if path.is_dir())
    *_, last = data.label_name.split("_")
    suffix = last if last and "-" not in last else LABELS
    found = sorted(_label_files(root, suffix), key=lambda label: label.path) if subjects else []
    if suffix != LABELS:  # whoever names files otherwise may mean another layout
        found = [label for label in found if has_image(label.path, label.name, root)]
    if not found:
        return None
    labels = _one_a_case(_wanted(found, data, root), root)
    channels = {label.path: channels_of(label.path, label.name, root, data.image_names) for label in labels}
    findings = [_no_image(label, data) for label in labels if not channels[label.path]]
    message = (
        f"{root}: {len(findings)} label maps have no image: {some([finding.case for finding in findings])}. Add the "
        "images, or give their names: data.image_names."
    )
    labelled = [label for label in labels if channels[label.path]]
    if labelled:
        refuse_different([(root / label.case, channels[label.path]) for label in labelled])
    classes = _classes([label.path for label in labelled], root)
    names = list(channels[labelled[0].path]) if labelled else []
    with_labels = {label.name.entities["sub"] for label in labelled}
    dataset = Dataset(
        root=root,
        layout=f"BIDS ({', '.join(names)}; {len(with_labels)} of {len(subjects)} subjects have label maps)",
        cases=tuple(sorted((_case(label, channels[label.path]) for label in labelled), key=lambda case: case.name)),
        label_names={item.value: item.name for item in classes},
        channel_names=tuple(names),
        looks={item.name: item for item in classes},
    )
    return whole(dataset, message, findings)


def _case(label: LabelFile, channels: Mapping[str, Path]) -> Case:
    subject = f"sub-{label.name.entities['sub']}"
    return Case(name=label.case, images=tuple(channels.values()), label=label.path, patient=subject)


def _label_files(root: Path, suffix: str) -> Iterator[LabelFile]:
    for folder in (root / "derivatives", *root.glob(SUBJECTS)):
        for path in folder.rglob(f"*_{suffix}.*"):
            name = read_name(path)
            if image_suffix(path) and path.is_file() and not path.name.startswith(".") and name is not None:
                yield LabelFile(path=path, name=name)


def _wanted(labels: Sequence[LabelFile], data: DataConfig, root: Path) -> list[LabelFile]:
    """Those that the settings ask for; all without them."""
    wanted = [label for label in labels if not data.label_name or asks_for(data.label_name, label.name)]
    if not wanted:
        raise DataError(
            f"{root}: no label map is named {data.label_name}. There are {some(_kinds(labels))}: data.label_name takes "
            "one of these."
        )
    return wanted


def _one_a_case(labels: Sequence[LabelFile], root: Path) -> list[LabelFile]:
    """Of several those that lie in the space of an image; raises DataError where that is not one."""
    by_case: dict[str, list[LabelFile]] = {}
    for label in labels:
        by_case.setdefault(label.case, []).append(label)
    for case, found in by_case.items():
        if len(found) > 1:
            by_case[case] = [label for label in found if has_image(label.path, label.name, root)] or found
    several = {case: found for case, found in by_case.items() if len(found) > 1}
    if several:
        case, found = next(iter(several.items()))
        raise DataError(
            f"{root}: {len(several)} cases have several label maps, such as {case}: "
            f"{some([str(label.path.relative_to(root)) for label in found])}. Say which to take by a part of its name, "
            f"such as --set label_name={_kinds(found)[0]}"
        )
    return [found[0] for found in by_case.values()]


def _kinds(labels: Sequence[LabelFile]) -> list[str]:
    """What distinguishes label maps of one case: their names without those of the case."""
    kinds = {
        joined({key: value for key, value in label.name.entities.items() if key not in label.name.source}, LABELS)
        for label in labels
    }
    return sorted(kinds, key=lambda kind: (kind == LABELS, kind))


def _no_image(label: LabelFile, data: DataConfig) -> Finding:
    what = f" ({', '.join(data.image_names)})" if data.image_names else ""
    return Finding(
        case=label.case,
        severity="error",
        kind="file without counterpart",
        message=f"{label.path} has no image{what}.",
        remedy="Add the image, or give its name: data.image_names.",
    )


def _classes(labels: Sequence[Path], root: Path) -> list[LabelClass]:
    """The classes that tables name, as far as label maps have them: tables list all that a program can find."""
    tables = {path: read_table(path) for path in sorted({t for t in (table_of(one, root) for one in labels) if t})}
    known: dict[int, LabelClass] = {}
    for path, classes in tables.items():
        for item in classes:
            other = known.setdefault(item.value, item)
            if other.name != item.name:
                raise DataError(
                    f"{path}: {item.value} is '{item.name}', and '{other.name}' in another table. Give each value one "
                    "name, or take label maps of one kind: data.label_name."
                )
    present = _values(labels) if known else set()
    return [item for value, item in sorted(known.items()) if value in present]


def _values(labels: Sequence[Path]) -> set[int]:
    def read(path: Path) -> set[int]:
        try:
            return {int(value) for value in np.unique(sitk.GetArrayFromImage(read_label_map(path)))}
        except DataError:  # checking the cases says what is wrong
            return set()

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        return set().union(*pool.map(read, labels))
