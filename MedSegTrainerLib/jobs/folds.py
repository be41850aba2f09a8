"""What a cross-validation is of: its cases, their folds, and the training job of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import unknown_classes
from MedSegTrainerLib.config.job_settings import job_document
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.half_cases import half_names, write_halves
from MedSegTrainerLib.data.splits.split import Split, fold_splits
from MedSegTrainerLib.data.splits.used_cases import UsedCases, read_used_cases, record_cases
from MedSegTrainerLib.errors import JobError, UsageError, some
from MedSegTrainerLib.events import Emit, Warned
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.job_cases import BEGUN_BEFORE, cases_as_begun
from MedSegTrainerLib.jobs.kept_settings import keep_settings
from MedSegTrainerLib.jobs.kinds import parse_job
from MedSegTrainerLib.model.description import DESCRIPTION


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What is cross-validated. folds: names of the cases that train and that are held out, in lists ``train`` and
    ``val``. train: the settings of each fold, but for its number. halved: whether the folds are halves of one case.
    used: the cases as they were when it first ran."""

    folder: JobFolder
    dataset: Dataset
    folds: list[dict[str, list[str]]]
    train: TrainConfig
    halved: bool
    used: UsedCases | None = None

    def job(self, index: int) -> JobFolder:
        return JobFolder(self.folder.folds / str(index))

    def case(self, name: str) -> Case:
        """The case of this name; of halves, the only one."""
        by_name = {case.name: case for case in self.dataset.cases}
        return next(iter(self.dataset.cases)) if self.halved else by_name[name]

    def make_job(self, index: int, device: str) -> JobFolder:
        """The job of a fold, for this device: a new one, or the one that was begun."""
        job, count = self.job(index), len(self.folds)
        if not job.job_file.exists():
            data = replace(self.train.data, fold=index, folds=max(2, count))
            job.create(replace(self.train, data=data, trainer=replace(self.train.trainer, device=device)))
        config = parse_job(job.read_document())
        if not isinstance(config, TrainConfig):
            raise JobError(f"{job.path} is no training. Move it away: it is made anew.")
        if config.trainer.device != device:
            moved = replace(config, trainer=replace(config.trainer, device=device))
            atomic.write_json(job.job_file, job_document(moved))
        if not job.plan_file.exists():
            self._plan_as_the_first(index)
        if self.used is not None and not self.halved and not job.used_cases_file.exists():
            train, val = (tuple(sorted(self.folds[index][part])) for part in ("train", "val"))
            split = Split(train=train, val=val, test=(), reason=f"fold {index} of {len(self.folds)}")
            self.used.divided(split).write(job.used_cases_file)
        return job

    def predictions(self, index: int) -> dict[str, Path]:
        """Label maps of the cases that a fold held out, by name; {} unless all are evaluated and it has a model."""
        job = self.job(index)
        if job.status().state not in ("finished", "stopped") or not (job.model / DESCRIPTION).exists():
            return {}
        paths = {name: job.report / "predictions" / f"{name}.seg.nrrd" for name in self.folds[index]["val"]}
        evaluated = (job.report / "metrics.json").exists() and all(path.exists() for path in paths.values())
        return paths if evaluated else {}

    def _plan_as_the_first(self, index: int) -> None:
        """The first fold's plan for a later one: the same network and patch, so that they differ in cases alone."""
        first = self.job(0).plan_file
        if index == 0 or not first.exists():
            return
        plan: Any = read_json_file(first, JobError)
        if not isinstance(plan, dict) or not fits(plan.get("steps_per_epoch"), int):
            raise JobError(f"{first} is damaged. Begin a new cross-validation in another folder.")
        share = len(self.folds[index]["train"]) / len(self.folds[0]["train"])
        plan["steps_per_epoch"] = max(1, round(plan["steps_per_epoch"] * share))
        atomic.write_json(self.job(index).plan_file, plan)


def prepare(train: TrainConfig, folder: JobFolder, emit: Emit) -> CrossValidation:
    """The folds of a cross-validation, of the cases and as they were divided when it first ran; raises MedSegError."""
    splits_file, halves = folder.path / "splits.json", folder.path / "halves"
    keep_settings(train, folder, resumed=splits_file.exists())
    used = read_used_cases(folder.used_cases_file)
    if used is not None:
        dataset = cases_as_begun(used, train.data, emit, "cross-validate")
    else:
        dataset = find_cases(Path(train.data.data_dir), train.data)
        if splits_file.exists():
            emit(Warned(message=BEGUN_BEFORE.format(where=dataset.root)))
    usable = [case for case in dataset.cases if case.part != "test"]
    halved = len(usable) == 1 and train.data.split_file is None
    ignored = dataset.ignore_label
    if halved:
        ignored = write_halves(usable[0], dataset, halves, ignored)
        first, second = half_names(usable[0])
        folds = [{"train": [first], "val": [second]}, {"train": [second], "val": [first]}]
    elif splits_file.exists():
        folds = _read_folds(splits_file, {case.name for case in dataset.cases})
    else:
        folds = _divided(dataset, train)
    if used is None:
        names = {usable[0].name} if halved else {name for fold in folds for name in (*fold["train"], *fold["val"])}
        used = record_cases(dataset, Split(train=tuple(sorted(names)), val=(), test=(), reason="cross-validation"))
        used.write(folder.used_cases_file)
    atomic.write_json(splits_file, folds)
    composed = not halved and not all(case.labels.is_plain for case in dataset.cases)
    data = replace(
        train.data,
        split_file=str(splits_file.resolve()),
        ignore_label=train.data.ignore_label if composed else ignored,  # composed labels have another one in memory
        overlapping=dataset.overlapping if dataset.overlapping or composed else train.data.overlapping,
        labelled_slices="none" if halved else train.data.labelled_slices,  # the halves say it voxel by voxel
        data_dir=str(halves.resolve()) if halved else train.data.data_dir,
    )
    return CrossValidation(
        folder=folder, dataset=dataset, folds=folds, train=replace(train, data=data), halved=halved, used=used
    )


def _read_folds(path: Path, case_names: set[str]) -> list[dict[str, list[str]]]:
    """The folds that the cross-validation began with; raises JobError where the file no longer says them."""
    folds: list[dict[str, list[str]]] = read_json_file(path, JobError)
    whole = fits(folds, list[dict[str, list[str]]]) and all(_is_fold(fold, case_names) for fold in folds)
    if not whole or len(folds) < 2:
        raise JobError(
            f"{path} is damaged, or its cases are not in the data any more: each of its folds needs cases in 'train' "
            "and others in 'val'. Begin a new cross-validation in another folder."
        )
    val_names = [name for fold in folds for name in fold["val"]]
    if len(set(val_names)) < len(val_names):
        raise JobError(f"{path} is damaged: a case is held out twice. Begin a new cross-validation in another folder.")
    return folds


def _is_fold(fold: dict[str, list[str]], case_names: set[str]) -> bool:
    if fold.keys() != {"train", "val"} or not fold["train"] or not fold["val"]:
        return False
    names = [*fold["train"], *fold["val"]]
    return len(set(names)) == len(names) and case_names.issuperset(names)


def _divided(dataset: Dataset, train: TrainConfig) -> list[dict[str, list[str]]]:
    splits = fold_splits(dataset, train.data)
    names = [name for split in splits for name in split.val]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not all(split.val for split in splits) or len(splits) < 2:
        what = f"{twice[0]} is held out in several folds" if twice else "each of several folds must hold out cases"
        raise UsageError(f"{train.data.split_file} is no cross-validation: {what}. Correct its 'val' lists.")
    _refuse_undrawn(splits, dataset)
    return [{"train": list(split.train), "val": list(split.val)} for split in splits]


def _refuse_undrawn(splits: Sequence[Split], dataset: Dataset) -> None:
    """Before any fold trains: each needs a training case for every class in which somebody looked for it."""
    names = list(dataset.label_names.values())
    unknown = {case.name: set(unknown_classes(names, case.drawn)) for case in dataset.cases}
    for index, split in enumerate(splits):
        nowhere = set.intersection(*(unknown[name] for name in split.train))
        if nowhere:
            listed = some([f"'{names[position - 1]}'" for position in sorted(nowhere)])
            raise UsageError(
                f"Fold {index} would train without a case in which {listed} was drawn. "
                "Divide the cases by their classes (--set split_by=stratified), or ask for other --folds."
            )
