"""``cases.json``: the cases of a data set one by one; what 3D Slicer writes into the ``data`` folder of a job.

    {
      "schema_version": 1,
      "channels": ["T1", "T2"],
      "classes": [{"value": 1, "name": "liver", "color": [221, 130, 101], "terminology": "Segmentation category ..."}],
      "ignore_label": -1,
      "overlapping": false,
      "cases": [
        {"name": "MRHead", "images": ["MRHead_0000.nrrd", "MRHead_0001.nrrd"], "label": "MRHead.seg.nrrd",
         "patient": "P1", "part": "train", "drawn": ["liver"], "labelled_slices": "y",
         "labelled_box": [[0, 0, 10], [255, 255, 40]]},
        {"name": "MRNeck", "images": ["MRNeck_0000.nrrd", "MRNeck_0001.nrrd"], "masks": {"liver": "MRNeck_liver.nrrd"}}
      ]
    }

Paths are relative to the folder of ``cases.json``, or absolute; an image or label may be a folder with a DICOM series.
``images`` holds a file for each channel. ``masks`` gives each class a file of its own, in place of ``label``. A case
without either (or null) is not labelled yet, and left out. Only ``cases``, and of each case ``name`` and ``images``,
must be there. Label maps with named segments (``.seg.nrrd``) are matched with ``classes`` by name; in others the values
count; ``masks`` without ``classes`` are numbered in their order. ``name`` is also that of files made from the case:
letters, digits, spaces and the like. What ``drawn``, ``labelled_slices`` and ``labelled_box`` mean stands in ``Case``.
``ignore_label`` is the value of voxels that nobody labelled; the setting of this name wins. The folder given to the
program is the one with ``cases.json``, or the job's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.case_entry import read_case_entry
from MedSegTrainerLib.data.layouts.dataset_json import read_object
from MedSegTrainerLib.data.layouts.flat_folders import missing_file_finding, whole
from MedSegTrainerLib.errors import DataError, did_you_mean, some

FILE = "cases.json"


def case_list(root: Path) -> Dataset | None:
    """None where neither ``root`` nor ``root/data`` has the file."""
    path = next((folder / FILE for folder in (root, root / "data") if (folder / FILE).is_file()), None)
    if path is None:
        return None
    document = read_object(path)
    entries = document.get("cases")
    if not isinstance(entries, list):
        raise DataError(f"{path} has no list 'cases'. Write it as the page Data of the manual says.")
    cases = [case for case in (read_case_entry(entry, path) for entry in entries) if case is not None]
    if not cases:
        raise DataError(f"{path} lists no case with a label map. Segment a case first.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} lists several cases of one name: {some(twice)}. Rename them.")
    missing = [(case.name, file) for case in cases for file in (*case.images, *case.label_files) if not file.exists()]
    message = (
        f"{path} lists {len(missing)} files that are not there: {some([str(file) for _, file in missing])}. "
        "Add the files, or remove the cases."
    )
    complete = [case for case in cases if case.name not in {name for name, _ in missing}]
    classes = [_label_class(entry, path) for entry in _list(document, "classes", path)]
    names_by_value = _names(classes, path) or _mask_names(cases)
    _refuse_unknown_masks(cases, list(names_by_value.values()), path)
    dataset = Dataset(
        root=root,
        layout=FILE,
        cases=tuple(sorted(complete, key=lambda case: case.name)),
        label_names=names_by_value,
        channel_names=tuple(map(str, _list(document, "channels", path))),
        looks={item.name: item for item in classes},
        ignore_label=_ignore_label(document, names_by_value, path),
        overlapping=_overlapping(document, path),
    )
    return whole(dataset, message, [missing_file_finding(name, file) for name, file in missing])


def lists_masks(path: Path) -> bool:
    """Whether cases of such a file have a file for each class; nothing else of it is looked at."""
    entries = read_object(path).get("cases")
    return isinstance(entries, list) and any(isinstance(entry, dict) and entry.get("masks") for entry in entries)


def listed_names(path: Path) -> dict[int, str]:
    """Label value to name of the ``classes`` of such a file; {} where there is none."""
    return _names([_label_class(entry, path) for entry in _list(read_object(path), "classes", path)], path)


def listed_ignored(path: Path) -> int | None:
    """``ignore_label`` of such a file; None where there is none."""
    return _ignore_label(read_object(path), listed_names(path), path)


def _label_class(entry: Any, path: Path) -> LabelClass:
    value, name = (entry.get("value"), entry.get("name")) if isinstance(entry, dict) else (None, None)
    if type(value) is not int or not isinstance(name, str) or not name or value == 0:
        raise DataError(
            f"{path}: each of 'classes' needs a 'value' (a whole number but 0) and a 'name', not {entry!r}."
        )
    color = entry.get("color", [])
    if (
        not isinstance(color, list)
        or len(color) != 3
        or any(type(part) is not int or not 0 <= part < 256 for part in color)
    ):
        raise DataError(f"{path}: 'color' of {name} must be three whole numbers from 0 to 255, not {color!r}.")
    return LabelClass(
        value=value, name=name, color=(color[0], color[1], color[2]), terminology=str(entry.get("terminology") or "")
    )


def _names(classes: list[LabelClass], path: Path) -> dict[int, str]:
    names = {item.value: item.name for item in classes}
    if len(names) < len(classes) or len(set(names.values())) < len(classes):
        raise DataError(f"{path}: two of 'classes' have one value or one name. Give each its own.")
    return names


def _mask_names(cases: Sequence[Case]) -> dict[int, str]:
    """Classes that stand in no list, numbered in the order of the masks."""
    return dict(enumerate(dict.fromkeys(name for case in cases for name in case.masks), start=1))


def _refuse_unknown_masks(cases: Sequence[Case], names: Sequence[str], path: Path) -> None:
    for case in cases:
        for name in case.masks:
            if name not in names:
                raise DataError(
                    f"{path}: 'masks' of {case.name} has a file for '{name}', which is none of 'classes'."
                    f"{did_you_mean(name, names)} Add it to the list, or remove the mask."
                )


def _ignore_label(document: dict[str, Any], names: Mapping[int, str], path: Path) -> int | None:
    value = document.get("ignore_label")
    if value is not None and (type(value) is not int or value == 0 or not -(2**31) <= value < 2**31):
        raise DataError(
            f"{path}: 'ignore_label' must be the whole number that stands for voxels which nobody labelled, and not 0, "
            f"not {value!r}."
        )
    if value is not None and value in names:
        raise DataError(f"{path}: 'ignore_label' is {value}, the value of '{names[value]}'. Give it another value.")
    return value


def _overlapping(document: dict[str, Any], path: Path) -> bool:
    value = document.get("overlapping", False)
    if not isinstance(value, bool):
        raise DataError(f"{path}: 'overlapping' must be true or false, not {value!r}.")
    return value


def _list(document: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = document.get(key) or []
    if not isinstance(value, list):
        raise DataError(f"{path}: '{key}' must be a list, not {value!r}.")
    return value
