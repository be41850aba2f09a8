"""nnU-Net's list of files: the key ``dataset`` of ``dataset.json``, for cases that lie wherever they are.

    {"dataset": {"case_1": {"images": ["../ct/case_1.nrrd"], "label": "$LABELS/case_1.nrrd"}}, "labels": ...}

Paths are relative to the folder, or absolute, and may hold variables of the environment (nnU-Net's
``get_filenames_of_train_images_and_targets``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.case_entry import read_case_entry
from MedSegTrainerLib.data.layouts.dataset_json import FILE, channel_names, label_names, read_description
from MedSegTrainerLib.data.layouts.flat_folders import missing_file_finding, whole
from MedSegTrainerLib.errors import DataError, some

KEY = "dataset"


def nnunet_list(root: Path) -> Dataset | None:
    """None where ``dataset.json`` has no such list; raises DataError for entries that are none, with the first of them,
    and IncompleteError where files are not there."""
    description, path = read_description(root), root / FILE
    listed = description.get(KEY)
    if not isinstance(listed, dict):
        return None
    if not listed:
        raise DataError(f"{path}: '{KEY}' lists no cases. Add them, or remove the key to take imagesTr and labelsTr.")
    cases, missing = [], []
    for name, entry in listed.items():
        case, as_written = _case(str(name), entry, path)
        absent = [text for file, text in as_written.items() if not file.exists()]
        missing += [(case.name, root / text) for text in absent]
        cases += [] if absent else [case]
    channels = {len(case.images) for case in cases}
    if len(channels) > 1:
        raise DataError(
            f"{path}: the cases of '{KEY}' have different numbers of images ({some(sorted(map(str, channels)))}). Give "
            "each a file for every channel."
        )
    message = (
        f"{path} lists {len(missing)} files that are not there: {some([str(file) for _, file in missing])}. "
        "Add the files, or remove the cases."
    )
    dataset = Dataset(
        root=root,
        layout=f"nnU-Net, listed in {FILE}",
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        label_names=label_names(description, root),
        channel_names=channel_names(description, root),
    )
    return whole(dataset, message, [missing_file_finding(name, file) for name, file in missing])


def _case(name: str, entry: Any, path: Path) -> tuple[Case, dict[Path, str]]:
    """The case, and the text that stands in the file for each of its paths: variables may hold what is not to be
    shown."""
    images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
    if read_case_entry({"name": name, "images": images, "label": label}, path) is None:
        raise DataError(f"{path}: '{KEY}' gives {name} no 'label'. Add it, or remove the case.")
    written = [*map(str, images or ()), str(label)]
    expanded = [os.path.expandvars(text) for text in written]
    case = read_case_entry({"name": name, "images": expanded[:-1], "label": expanded[-1]}, path)
    assert case is not None  # as it has a label
    return case, dict(zip((*case.images, case.label), written, strict=True))
