"""Which classes somebody looked for in which case: ``drawn.json`` beside a layout, and whether there are such classes.

    {"MRHead": ["liver", "spleen"], "MRNeck": []}

A class that a case lists and that has no voxel there is absent; one that it does not list is unknown. In a case that is
not in the file all classes were looked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.case_entry import class_list
from MedSegTrainerLib.data.layouts.dataset_json import read_object
from MedSegTrainerLib.errors import DataError, did_you_mean

FILE = "drawn.json"


def with_drawn(dataset: Dataset, folder: Path, *, every_case: bool = True) -> Dataset:
    """The data set with what ``drawn.json`` of the folder, or of ``data`` in it, says.

    every_case: whether ``dataset`` holds all cases, so that others are unknown. Raises DataError for such names, for
    what is no list of classes, and where the case itself says otherwise.
    """
    path = next((place / FILE for place in (folder, folder / "data") if (place / FILE).is_file()), None)
    if path is None:
        return dataset
    drawn = read_drawn(path)
    names = {case.name for case in dataset.cases}
    unknown = next((name for name in drawn if name not in names), None)
    if unknown is not None and every_case:
        raise DataError(
            f"{path}: there is no labelled case '{unknown}'.{did_you_mean(unknown, names)} Correct the name, or remove "
            "its line."
        )
    return replace(dataset, cases=tuple(_joined(case, drawn.get(case.name), path) for case in dataset.cases))


def read_drawn(path: Path) -> dict[str, tuple[str, ...]]:
    """Case to the classes that were drawn in it, {} without the file; raises DataError for anything else."""
    return {name: class_list(value, f"{path}: '{name}'") for name, value in read_object(path).items()}


def listed_drawn(path: Path) -> dict[str, tuple[str, ...]]:
    """The same of the cases of a ``cases.json`` that say it."""
    entries = read_object(path).get("cases")
    told = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return {
        str(one.get("name")): class_list(one["drawn"], f"{path}: 'drawn' of {one.get('name')}")
        for one in told
        if one.get("drawn") is not None
    }


def checked_drawn(dataset: Dataset) -> Dataset:
    """The data set once its classes are known: a case in which all were drawn says nothing of its own.

    Raises DataError where a case names a class that the data set does not have.
    """
    known = list(dataset.label_names.values())
    for case in dataset.cases:
        unknown = next((name for name in case.drawn or () if name not in known), None)
        if unknown is not None:
            near = did_you_mean(unknown, known) or " It names no classes: dataset.json or cases.json can."
            raise DataError(
                f"{dataset.root}: '{unknown}' was drawn in {case.name} by {FILE} or cases.json, and the data set has "
                f"no class of this name.{near}"
            )
    every = frozenset(known)
    return replace(
        dataset,
        cases=tuple(
            replace(case, drawn=None) if case.drawn is not None and every <= set(case.drawn) else case
            for case in dataset.cases
        ),
    )


def _joined(case: Case, drawn: tuple[str, ...] | None, path: Path) -> Case:
    if drawn is None:
        return case
    if case.drawn is not None and set(case.drawn) != set(drawn):
        raise DataError(
            f"{path} and cases.json say different things of {case.name}: {', '.join(drawn) or 'nothing'} was drawn, "
            f"and {', '.join(case.drawn) or 'nothing'}. Say it in one of them."
        )
    return replace(case, drawn=drawn)
