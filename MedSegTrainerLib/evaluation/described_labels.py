"""What files beside references say of their labels: the names of values, and the value that does not count."""

from __future__ import annotations

from pathlib import Path

from MedSegTrainerLib.data.layouts.case_list import FILE as CASE_LIST
from MedSegTrainerLib.data.layouts.case_list import listed_ignored, listed_names
from MedSegTrainerLib.data.layouts.dataset_json import ignored_value, label_names, read_description
from MedSegTrainerLib.evaluation.file_pairs import IMAGE_FOLDER_OF
from MedSegTrainerLib.events import Emit, Warned


def places_beside(labels: Path) -> list[Path]:
    """Where such files may be: in the folder of the references, and in that of the data set."""
    return [labels, labels.parent] if labels.name in IMAGE_FOLDER_OF else [labels]


def described_names(labels: Path) -> dict[int, str]:
    """Label value to name, as dataset.json or cases.json has it; {} where neither does."""
    for folder in places_beside(labels):
        names = label_names(read_description(folder), folder) or listed_names(folder / CASE_LIST)
        if names:
            return names
    return {}


def described_ignored(labels: Path, emit: Emit) -> int | None:
    """What the dataset.json of the references calls 'ignore', or cases.json has as 'ignore_label'."""
    root = labels.parent if labels.name in IMAGE_FOLDER_OF else labels
    value = ignored_value(read_description(root))
    if value is not None:
        emit(Warned(message=f"Voxels of value {value} do not count: dataset.json of the references calls it 'ignore'."))
        return value
    listed = listed_ignored(root / CASE_LIST)
    if listed is not None:
        emit(Warned(message=f"Voxels of value {listed} do not count: it is 'ignore_label' in cases.json."))
    return listed
