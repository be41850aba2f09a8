"""The cases of a training job: those that it began with; at its first start, those that are there."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.case_contents import CaseRecord, contents_of
from MedSegTrainerLib.data.dataset import Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split, split_dataset
from MedSegTrainerLib.data.splits.used_cases import UsedCases, read_used_cases
from MedSegTrainerLib.errors import JobError, some
from MedSegTrainerLib.events import Emit, Warned
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import DESCRIPTION
from MedSegTrainerLib.model.lineage import EarlierCases


@dataclass(frozen=True, kw_only=True)
class JobCases:
    """Data set and division of a training. contents: of the cases whose files were read for it, by name."""

    dataset: Dataset
    split: Split
    contents: Mapping[str, CaseRecord] = field(default_factory=dict)


def cases_of_job(
    config: DataConfig, folder: JobFolder | None, emit: Emit, earlier: EarlierCases | None = None
) -> JobCases:
    """The cases of a training; raises DataError where those that it began with are others now.

    folder: of its job, None where there is none yet. earlier: cases of the model that it begins as. Those that it held
    out stay held out; those that trained it are held out only where nothing else is there to be, or somebody wants it
    so; that is warned of.
    """
    used = None if folder is None else read_used_cases(folder.used_cases_file)
    if used is not None:
        dataset, split, contents = cases_as_begun(used, config, emit, "train"), used.split, used.cases
        parts = earlier.parts_of(contents) if earlier else {}
    else:
        dataset = find_cases(Path(config.data_dir), config)
        contents = contents_of(dataset) if earlier or config.cache_dir else {}
        parts = earlier.parts_of(contents) if earlier else {}
        split = split_dataset(dataset, config, parts)
    judged_before = sorted(name for name in {*split.val, *split.test} if parts.get(name) == "train")
    if judged_before:
        emit(Warned(message=_seen_before(judged_before)))
        split = replace(split, trained_before=tuple(judged_before))
    is_begun = folder is not None and (folder.checkpoint_file.exists() or (folder.model / DESCRIPTION).exists())
    if used is None and folder is not None and is_begun:
        split = _split_of_model(folder, dataset, split)
        emit(Warned(message=BEGUN_BEFORE.format(where=dataset.root)))
    return JobCases(dataset=dataset, split=split, contents=contents)


def _seen_before(names: Sequence[str]) -> str:
    return (
        f"{len(names)} of the held-out cases trained the model that this training begins as ({some(names)}): their "
        "Dice says too much, at the beginning most of all. Hold out others: leave fold and split file out, or add "
        "cases."
    )


BEGUN_BEFORE = (
    "This job was begun by a version that kept no record of its cases: it goes on with those that {where} has now, and "
    "nobody can tell whether they changed in the meantime. From now on it is checked."
)


def cases_as_begun(used: UsedCases, config: DataConfig, emit: Emit, command: str) -> Dataset:
    """The data set as a job found it when it began; warns of cases that were added. Raises DataError as
    ``UsedCases.as_at_start`` does; command: what begins such a job."""
    if used.overlapping is not None:  # what was added must not decide anew
        config = replace(config, overlapping=used.overlapping)
    instead = subprocess.list2cmdline(["medsegtrainer", command, config.data_dir, "-o", "NEW_FOLDER"])
    try:
        today = find_cases(Path(config.data_dir), config)
    except IncompleteError as error:  # perhaps of cases that were added
        today = error.dataset
    dataset, added = used.as_at_start(today, instead), used.added(today)
    if added:
        emit(Warned(message=_not_used(added, len(used.cases), instead)))
    return dataset


def _not_used(added: Sequence[str], count: int, instead: str) -> str:
    several = len(added) > 1
    return (
        f"{len(added)} {'cases were' if several else 'case was'} added since this training began ({some(added)}) and "
        f"{'are' if several else 'is'} not used: it goes on with the {count} that it began with. To train with all, "
        f"begin anew: {instead}"
    )


def _split_of_model(folder: JobFolder, dataset: Dataset, split: Split) -> Split:
    """The division that the model of an earlier version tells, where its cases are still there; else today's."""
    try:
        training = read_json_file(folder.model / DESCRIPTION, JobError)["training"]
        train, val = (tuple(sorted(map(str, training[key]))) for key in ("train_cases", "val_cases"))
    except (OSError, JobError, KeyError, TypeError):
        return split
    if not train or not {*train, *val} <= {case.name for case in dataset.cases}:
        return split
    test = tuple(name for name in split.test if name not in {*train, *val})
    return Split(train=train, val=val, test=test, reason=f"as the model in {folder.model} tells")
