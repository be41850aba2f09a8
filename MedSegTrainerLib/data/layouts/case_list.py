"""``cases.json``: the cases of a data set one by one; what 3D Slicer writes into the ``data`` folder of a job.

    {
      "schema_version": 1,
      "channels": ["T1", "T2"],
      "classes": [{"value": 1, "name": "liver", "color": [221, 130, 101], "terminology": "Segmentation category ..."}],
      "cases": [
        {"name": "MRHead", "images": ["MRHead_0000.nrrd", "MRHead_0001.nrrd"], "label": "MRHead.seg.nrrd",
         "patient": "P1", "part": "train"}
      ]
    }

Paths are relative to the folder of ``cases.json``, or absolute; an image or label may be a folder with a DICOM series.
``images`` holds a file for each channel. A case without ``label`` (or null) is not labelled yet, and left out. Only
``cases``, and of each case ``name`` and ``images``, must be there. Label maps with named segments (``.seg.nrrd``) are
matched with ``classes`` by name; in others the values count. ``name`` is also that of files made from the case:
letters, digits, spaces and the like. The folder given to the program is the one with ``cases.json``, or the job's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.dataset_json import read_object
from MedSegTrainerLib.data.layouts.flat_folders import missing_file_finding, whole
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.files.regular_file import refuse_unnameable

FILE = "cases.json"
PARTS = ("train", "val", "test")
NOT_IN_NAMES = '/\\:*?"<>|'


def case_list(root: Path) -> Dataset | None:
    """None where neither ``root`` nor ``root/data`` has the file."""
    path = next((folder / FILE for folder in (root, root / "data") if (folder / FILE).is_file()), None)
    if path is None:
        return None
    document = read_object(path)
    entries = document.get("cases")
    if not isinstance(entries, list):
        raise DataError(f"{path} has no list 'cases'. Write it as the page Data of the manual says.")
    cases = [case for case in (_case(entry, path) for entry in entries) if case is not None]
    if not cases:
        raise DataError(f"{path} lists no case with a label map. Segment a case first.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} lists several cases of one name: {some(twice)}. Rename them.")
    missing = [(case.name, file) for case in cases for file in (*case.images, case.label) if not file.exists()]
    message = (
        f"{path} lists {len(missing)} files that are not there: {some([str(file) for _, file in missing])}. "
        "Add the files, or remove the cases."
    )
    complete = [case for case in cases if case.name not in {name for name, _ in missing}]
    classes = [_label_class(entry, path) for entry in _list(document, "classes", path)]
    dataset = Dataset(
        root=root,
        layout=FILE,
        cases=tuple(sorted(complete, key=lambda case: case.name)),
        label_names=_names(classes, path),
        channel_names=tuple(map(str, _list(document, "channels", path))),
        looks={item.name: item for item in classes},
    )
    return whole(dataset, message, [missing_file_finding(name, file) for name, file in missing])


def _case(entry: Any, path: Path) -> Case | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise DataError(f"{path}: each case needs a 'name' and 'images', not {entry!r}.")
    name, images, label = entry["name"], entry.get("images"), entry.get("label")
    if not name.strip(". ") or any(letter in NOT_IN_NAMES or ord(letter) < 32 for letter in name):
        raise DataError(f"{path}: {name!r} cannot be the name of a file. Leave out any of {NOT_IN_NAMES}")
    if not isinstance(images, list) or not images or not all(isinstance(image, str) and image for image in images):
        raise DataError(f"{path}: 'images' of {name} must be a list with a file for each channel, not {images!r}.")
    for file in [*images, label or ""]:
        refuse_unnameable(Path(str(file)))
    part, patient = entry.get("part"), entry.get("patient") or ""
    if part is not None and part not in PARTS:
        raise DataError(f"{path}: 'part' of {name} is {part!r}. Give train, val or test, or leave it out.")
    if not isinstance(label, (str, type(None))):
        raise DataError(f"{path}: 'label' of {name} must be a file, not {label!r}.")
    if not label:
        return None
    return Case(
        name=name,
        images=tuple(path.parent / image for image in images),
        label=path.parent / label,
        patient=str(patient),
        part=part,
    )


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


def _list(document: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = document.get(key) or []
    if not isinstance(value, list):
        raise DataError(f"{path}: '{key}' must be a list, not {value!r}.")
    return value
