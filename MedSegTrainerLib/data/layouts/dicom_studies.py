"""Layout of a PACS: folders with DICOM series, however deep, and with the SEG or RTSTRUCT of each, found by their UIDs.

The folder directly in the root that holds a series, such as that of a patient, gives the case its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.dataset_json import channel_names, label_names, read_description
from MedSegTrainerLib.data.layouts.flat_folders import whole
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.dicom_index import DicomIndex, index_dicom
from MedSegTrainerLib.imaging.dicom_labels import label_file


def dicom_studies(root: Path) -> Dataset | None:
    """None where no series with labels of its own lies below ``root``.

    Raises DataError where several label objects are of one series, and IncompleteError where a label object has no
    series or a folder with series has no labels.
    """
    index = index_dicom(root)
    label_of, lost = _labels(index)
    if not label_of:
        return None
    cases = _named([_case(root, index.series[uid], label) for uid, label in label_of.items()])
    description = read_description(root)
    dataset = Dataset(
        root=root,
        layout="DICOM series with segmentations",
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        label_names=label_names(description, root),
        channel_names=channel_names(description, root),
    )
    is_study = not any(_top(root, case.label) == case.patient for case in cases)  # of one patient, series by series
    tops = set() if is_study else {_top(root, folder) for folder in index.series.values()}
    without = sorted(tops - {case.patient for case in cases})
    findings = [_lost_label(_top(root, path), path) for path in lost] + [_no_label(name) for name in without]
    names = some([str(path.relative_to(root)) for path in lost] + without)
    message = (
        f"{root}: {len(lost)} DICOM segmentations without their series and {len(without)} folders without a "
        f"segmentation ({names}). Add what is missing, or move them away."
    )
    return whole(dataset, message, findings)


def _labels(index: DicomIndex) -> tuple[dict[str, Path], list[Path]]:
    """Label objects by the series that they are of, and those whose series is not there."""
    label_of: dict[str, Path] = {}
    lost = []
    for path in index.others:
        found = label_file(path)
        if found is None:
            continue
        uid = next((uid for uid in found[1].sources(path) if uid in index.series), None)
        if uid is None:
            lost.append(path)
        elif uid in label_of:
            raise DataError(
                f"{label_of[uid]} and {path} are both labels of the series in {index.series[uid]}. Keep one of them."
            )
        else:
            label_of[uid] = path
    return label_of, lost


def _case(root: Path, series: Path, label: Path) -> Case:
    top = _top(root, series)
    return Case(name=top, images=(series,), label=label, patient=top)


def _top(root: Path, path: Path) -> str:
    """The folder directly in the root that a path lies in; of the root itself its name."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > (1 if path.is_file() else 0) else root.resolve().name


def _named(cases: Sequence[Case]) -> list[Case]:
    """Several cases of one folder with a number each."""
    count: Mapping[str, int] = Counter(case.name for case in cases)
    number: Counter[str] = Counter()
    named = []
    for case in sorted(cases, key=lambda case: (case.name, case.images)):
        number[case.name] += 1
        name = f"{case.name}_{number[case.name]}" if count[case.name] > 1 else case.name
        named.append(replace(case, name=name))
    return named


def _lost_label(case: str, path: Path) -> Finding:
    return Finding(
        case=case,
        severity="error",
        kind="file without counterpart",
        message=f"the series that {path} is of is not there.",
        remedy="Add the folder with its slices, or move the segmentation away.",
    )


def _no_label(case: str) -> Finding:
    return Finding(
        case=case,
        severity="error",
        kind="file without counterpart",
        message="its folder has DICOM series, and no segmentation of any.",
        remedy="Add the SEG or RTSTRUCT, or move the folder away.",
    )
