"""A job of kind ``cross-validate``: every fold is a training job of its own, and together they are judged and kept.

OUT/
  splits.json       the cases of each fold, written once
  halves/           of a single case: it as two cases, half of space each
  folds/0 ...       a training job each, to be watched, stopped and resumed by itself
  report/           every case as the model predicts it that never saw it
  model/            the models of all folds as one package, an ensemble
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import CrossValidateConfig, TrainConfig
from MedSegTrainerLib.data.cases import find_cases
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.halves import half_names, joined, write_halves
from MedSegTrainerLib.data.label_maps import write_label_map
from MedSegTrainerLib.data.splits import fold_splits
from MedSegTrainerLib.errors import JobError, UsageError
from MedSegTrainerLib.events import Emit, Measured, Progress, Stage
from MedSegTrainerLib.job import ACTIVE_STATES, STOP_NOW, JobFolder, JobOwner, Outcome
from MedSegTrainerLib.package import DESCRIPTION, load_package, save_ensemble
from MedSegTrainerLib.pairing import Pair
from MedSegTrainerLib.spread import spread_words
from MedSegTrainerLib.validation import read_json

POLL_SECONDS = 0.3
REPORT_SECONDS = 2.0
UNITS_PER_FOLD = 1000


class Process(Protocol):
    """What is needed of a ``subprocess.Popen``."""

    def poll(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is cross-validated. folds: names of the cases that train and that are held out, in lists ``train`` and
    ``val``. train: the settings of each fold, but for its number. halved: whether the folds are halves of one case."""

    folder: JobFolder
    dataset: Dataset
    folds: list[dict[str, list[str]]]
    train: TrainConfig
    halved: bool

    def job(self, index: int) -> JobFolder:
        return JobFolder(self.folder.folds / str(index))


def run_cross_validate(config: CrossValidateConfig, folder: JobFolder, owner: JobOwner, emit: Emit) -> Outcome:
    """Trains the folds that are not finished, one after the other, then judges all and writes the ensemble.

    A request to stop is handed on to the fold at work; with ``keep-best`` the folds done so far are judged and kept.
    Raises JobError where a fold fails.
    """
    owner.update(state="running", stage="divide")
    study = prepare(config.train, folder)
    count, stopped = len(study.folds), None
    done = []
    for index in range(count):
        stopped = folder.stop_requested() or _run_fold(study, index, owner, emit)
        if _predictions(study, index):
            done.append(index)
        if stopped:
            break
    if stopped and (stopped == STOP_NOW or not done):
        told = f"Stopped in fold {len(done) + 1} of {count}. What is done is kept: go on with --resume."
        return Outcome(message=told, result=str(folder.path), stopped=stopped)
    owner.update(stage="report", progress=1.0, eta_seconds=None)
    words = conclude(study, done, emit)
    told = f"{words} Report: {folder.report / 'report.html'}"
    if stopped:
        told = f"Stopped with {len(done)} of {count} folds done; go on with --resume. So far: {told}"
    return Outcome(message=told, result=str(folder.model), stopped=stopped)


def prepare(train: TrainConfig, folder: JobFolder) -> Study:
    """The folds of a cross-validation, as they were divided when it first ran; raises MedSegError."""
    dataset = find_cases(Path(train.data.data_dir), train.data)
    splits_file, halves = folder.path / "splits.json", folder.path / "halves"
    usable = [case for case in dataset.cases if case.part != "test"]
    halved = len(usable) == 1 and train.data.split_file is None
    ignored = train.data.ignore_label
    if halved:
        ignored = write_halves(usable[0], dataset, halves, ignored)
        first, second = half_names(usable[0])
        folds = [{"train": [first], "val": [second]}, {"train": [second], "val": [first]}]
    elif splits_file.exists():
        folds = read_json(splits_file.read_text(encoding="utf-8"), str(splits_file))
    else:
        folds = _divided(dataset, train)
    atomic.write_json(splits_file, folds)
    data = replace(
        train.data, split_file=str(splits_file.resolve()), ignore_label=ignored,
        data_dir=str(halves.resolve()) if halved else train.data.data_dir,
    )  # fmt: skip
    return Study(folder=folder, dataset=dataset, folds=folds, train=replace(train, data=data), halved=halved)


def conclude(study: Study, done: Sequence[int], emit: Emit) -> str:
    """Judges the held-out predictions of these folds together, writes the ensemble; returns how good it is in words."""
    from MedSegTrainerLib.evaluation import evaluate  # matplotlib and scipy, which nobody needs before
    from MedSegTrainerLib.inference import describe_plan

    members = [load_package(study.job(index).model) for index in done]
    plan = members[0].plan
    names = [name for index in done for name in study.folds[index]["val"]]
    pairs = _halved_pair(study, emit) if study.halved and len(done) == 2 else [
        Pair(name=name, prediction=path, reference=_labels(study, name), image=_case_of(study, name).images[0])
        for index in done for name, path in _predictions(study, index).items()
    ]  # fmt: skip
    scores = [_mean_dice(member.metrics["summary"]) for member in members]
    facts = {
        **describe_plan(plan), "Models": f"{len(done)} of {len(study.folds)} folds, averaged in the ensemble",
        "Numbers": "each case was segmented by the model that did not train on it; it did choose the best epoch",
    }  # fmt: skip
    document = evaluate(
        pairs, plan.classes, study.folder.report, emit,
        title=f"Cross-validation: {study.folder.path.resolve().name}", facts=facts, ignore_label=plan.ignore_label,
        notes=_left_out(study),
    )  # fmt: skip
    words = spread_words(document["overall"]["case_mean_dice"], halves=scores if study.halved else ())
    cases = sorted(names)
    training = {"kind": "cross-validation", "folds": len(done), "train_cases": cases, "val_cases": cases}
    metrics = {
        "val_dice": document["overall"]["mean_dice"], "summary": document["summary"],
        "measured_on": "cross-validation", "validation_cases": cases, "words": words,
    }  # fmt: skip
    save_ensemble(members, study.folder.model, training=training, metrics=metrics)
    return words


def _mean_dice(summary: Mapping[str, Any]) -> float | None:
    known = [item["dice"]["mean"] for item in summary.values() if item["dice"]["mean"] is not None]
    return sum(known) / len(known) if known else None


def _divided(dataset: Dataset, train: TrainConfig) -> list[dict[str, list[str]]]:
    splits = fold_splits(dataset, train.data)
    names = [name for split in splits for name in split.val]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not all(split.val for split in splits) or len(splits) < 2:
        what = f"{twice[0]} is held out in several folds" if twice else "each of several folds must hold out cases"
        raise UsageError(f"{train.data.split_file} is no cross-validation: {what}. Correct its 'val' lists.")
    return [{"train": list(split.train), "val": list(split.val)} for split in splits]


def _run_fold(study: Study, index: int, owner: JobOwner, emit: Emit) -> str | None:
    """Trains one fold, or goes on with it; returns how it was stopped. Raises JobError where it fails."""
    job, count = study.job(index), len(study.folds)
    if job.status().state == "finished":
        return None
    if not job.job_file.exists():
        job.create(replace(study.train, data=replace(study.train.data, fold=index, folds=max(2, count))))
        _plan_as_the_first(study, index)
    emit(Stage(name="fold", message=f"Fold {index + 1} of {count}: {job.path}", total=UNITS_PER_FOLD))
    owner.update(stage=f"fold {index}")
    process = None if job.status().is_alive() else job.start()
    try:
        _follow(study, index, process, owner, emit)
    except BaseException:
        job.request_stop(STOP_NOW)  # Ctrl+C, or another process took over: nothing may be left running unseen
        raise
    return _ending(study, index, emit)


def _follow(study: Study, index: int, process: Process | None, owner: JobOwner, emit: Emit) -> None:
    """Waits for the fold's process and hands on what is asked of this job; one that was found running is watched."""
    job, count = study.job(index), len(study.folds)
    began, told = time.time(), 0.0
    while process.poll() is None if process is not None else job.status().is_alive():
        if owner.lost:
            raise JobError(f"Another process has taken over {study.folder.path}. This one ends; nothing is lost.")
        wish = study.folder.stop_requested()
        if wish and job.stop_requested() != wish:  # again and again: a process that just started removes the file
            job.request_stop(wish)
        if time.time() - told > REPORT_SECONDS:
            told = time.time()
            status = job.status()
            left = status.eta_seconds
            eta = None if left is None else round(left + (count - index - 1) * (told - began + left), 1)
            emit(Progress(done=int(UNITS_PER_FOLD * status.progress), total=UNITS_PER_FOLD, eta_seconds=eta))
            owner.update(progress=(index + status.progress) / count, eta_seconds=eta, message=status.message)
        time.sleep(POLL_SECONDS)


def _ending(study: Study, index: int, emit: Emit) -> str | None:
    """How a fold ended: None, or how it was stopped. One that was stopped by itself but judged is done."""
    job = study.job(index)
    status = job.status()
    if status.state == "failed":
        raise JobError(f"Fold {index + 1} failed: {status.message}")
    if status.state in ACTIVE_STATES:
        raise JobError(
            f"The process of fold {index + 1} ended without a word; it may have been killed, or memory ran out. "
            f"Its log: {job.log_file}. Go on with --resume."
        )
    if _predictions(study, index):
        summary = load_package(job.model).metrics.get("summary", {})
        means = {name: {key: item["mean"] for key, item in values.items()} for name, values in summary.items()}
        emit(Measured(cases=len(study.folds[index]["val"]), metrics=means, report=str(job.report / "report.html")))
    asked = study.folder.stop_requested()
    if status.state == "stopped" and not asked and not _predictions(study, index):
        return STOP_NOW
    return asked if status.state == "stopped" else None


def _plan_as_the_first(study: Study, index: int) -> None:
    """The plan of the first fold for a later one: the same network and patch, so that they differ in cases alone."""
    first = study.job(0).plan_file
    if index == 0 or not first.exists():
        return
    plan: dict[str, Any] = read_json(first.read_text(encoding="utf-8"), str(first))
    share = len(study.folds[index]["train"]) / len(study.folds[0]["train"])
    plan["steps_per_epoch"] = max(1, round(plan["steps_per_epoch"] * share))
    atomic.write_json(study.job(index).plan_file, plan)


def _predictions(study: Study, index: int) -> dict[str, Path]:
    """Label maps of the cases that a fold held out, by name; {} unless it has judged them all and has a model."""
    job = study.job(index)
    if job.status().state not in ("finished", "stopped") or not (job.model / DESCRIPTION).exists():
        return {}
    paths = {name: job.report / "predictions" / f"{name}.seg.nrrd" for name in study.folds[index]["val"]}
    judged = (job.report / "metrics.json").exists() and all(path.exists() for path in paths.values())
    return paths if judged else {}


def _case_of(study: Study, name: str) -> Case:
    by_name = {case.name: case for case in study.dataset.cases}
    return next(iter(study.dataset.cases)) if study.halved else by_name[name]


def _labels(study: Study, name: str) -> Path:
    return study.folder.path / "halves" / f"{name}.nii.gz" if study.halved else _case_of(study, name).label


def _halved_pair(study: Study, emit: Emit) -> list[Pair]:
    """The only case, each half as the model of the other one predicts it."""
    case = _case_of(study, "")
    plan = load_package(study.job(0).model).plan
    values = {item.name: item.value for item in plan.classes}
    second, first = (next(iter(_predictions(study, index).values())) for index in (0, 1))
    assert plan.ignore_label is not None
    labels = joined(case, study.folder.path / "halves", (first, second), values, plan.ignore_label)
    output = study.folder.report / "predictions" / f"{case.name}.seg.nrrd"
    write_label_map(labels, output, plan.classes)
    return [Pair(name=case.name, prediction=output, reference=case.label, image=case.images[0])]


def _left_out(study: Study) -> list[str]:
    held_out = {name for fold in study.folds for name in fold["val"]}
    rest = [case.name for case in study.dataset.cases if case.name not in held_out]
    if study.halved or not rest:
        return []
    return [f"{len(rest)} of {len(study.dataset.cases)} cases were never held out and are not in these numbers."]
