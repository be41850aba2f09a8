"""A job of kind ``cross-validate``: every fold is a training job of its own, and together they are evaluated and kept.

OUT/
  splits.json       the cases of each fold, written once
  used_cases.json   what these cases were read from, to see whether they changed
  halves/           of a single case: it as two cases, half of space each
  folds/0 ...       a training job each, to be watched, stopped and resumed by itself
  report/           every case as the model predicts it that never saw it
  model/            the models of all folds as one package, an ensemble
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MedSegTrainerLib.config.job_settings import CrossValidateConfig
from MedSegTrainerLib.data.splits.half_cases import joined
from MedSegTrainerLib.evaluation.file_pairs import Pair, case_pair
from MedSegTrainerLib.events import Emit, Warned
from MedSegTrainerLib.inference.result_files import write_result
from MedSegTrainerLib.job import STOP_NOW, Outcome
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.fold_scheduler import FoldRuns, fold_workers
from MedSegTrainerLib.jobs.folds import CrossValidation, prepare
from MedSegTrainerLib.model.likely_dice import from_json, joined_points, leave_one_out
from MedSegTrainerLib.model.package import load_package, save_ensemble


def run_cross_validate(config: CrossValidateConfig, context: JobContext) -> Outcome:
    """Trains the folds that are not finished, then evaluates all and writes the ensemble.

    A request to stop is passed to the folds at work; with ``keep-best`` the folds done so far are evaluated and kept.
    Raises JobError where a fold fails.
    """
    folder, owner, emit = context.folder, context.owner, context.emit
    owner.update(state="running", stage="divide")
    cross_validation = prepare(config.train, folder, emit)
    count = len(cross_validation.folds)
    workers, warning = fold_workers(config.devices, config.train.trainer.device, count)
    if warning:
        emit(Warned(message=warning))
    stopped = FoldRuns(cross_validation, workers, owner, emit).run()
    done = [index for index in range(count) if cross_validation.predictions(index)]
    if stopped and (stopped == STOP_NOW or not done):
        message = f"Stopped with {len(done)} of {count} folds done. What is done is kept: go on with --resume."
        return Outcome(message=message, result=str(folder.path), stopped=stopped)
    owner.update(stage="report", progress=1.0, eta_seconds=None)
    text = conclude(cross_validation, done, emit)
    message = f"{text} Report: {folder.report / 'report.html'}"
    if stopped:
        message = f"Stopped with {len(done)} of {count} folds done; go on with --resume. So far: {message}"
    return Outcome(message=message, result=str(folder.model), stopped=stopped)


def conclude(cross_validation: CrossValidation, done: Sequence[int], emit: Emit) -> str:
    """Evaluates the held-out predictions of these folds together, writes the ensemble; returns a text on it."""
    from MedSegTrainerLib.evaluation.evaluate import evaluate  # matplotlib and scipy, which nobody needs before
    from MedSegTrainerLib.inference.predictor import describe_plan

    members = [load_package(cross_validation.job(index).model) for index in done]
    plan = members[0].plan
    names = [name for index in done for name in cross_validation.folds[index]["val"]]
    pairs = (
        _halved_pair(cross_validation, emit)
        if cross_validation.halved and len(done) == 2
        else [
            _pair(cross_validation, name, path, plan.ignore_label)
            for index in done
            for name, path in cross_validation.predictions(index).items()
        ]
    )
    scores = [_mean_dice(member.metrics["summary"]) for member in members]
    facts = {
        **describe_plan(plan),
        "Models": f"{len(done)} of {len(cross_validation.folds)} folds, averaged in the ensemble",
        "Numbers": "each case was segmented by the model that did not train on it; it did choose the best epoch",
    }
    document = evaluate(
        pairs,
        plan.classes,
        cross_validation.folder.report,
        emit,
        title=f"Cross-validation: {cross_validation.folder.path.resolve().name}",
        facts=facts,
        ignore_label=plan.ignore_label,
        overlapping=plan.overlapping,
        notes=_left_out(cross_validation),
        likely=lambda results: leave_one_out(from_json(joined_points([member.likely_dice for member in members]))),
    )
    text = next_case_text(document["overall"]["case_mean_dice"], halves=scores if cross_validation.halved else ())
    cases = sorted(names)
    training = {"kind": "cross-validation", "folds": len(done), "train_cases": cases, "val_cases": cases}
    if "lineage" in members[0].training:  # all began as the same model
        training["lineage"] = members[0].training["lineage"]
    metrics = {
        "val_dice": document["overall"]["mean_dice"],
        "summary": document["summary"],
        "measured_on": "cross-validation",
        "validation_cases": cases,
        "words": text,
    }
    save_ensemble(members, cross_validation.folder.model, training=training, metrics=metrics)
    return text


def _mean_dice(summary: Mapping[str, Any]) -> float | None:
    defined = [item["dice"]["mean"] for item in summary.values() if item["dice"]["mean"] is not None]
    return sum(defined) / len(defined) if defined else None


def _pair(cross_validation: CrossValidation, name: str, prediction: Path, ignored: int | None) -> Pair:
    """A case, or a half of the only one, whose labels were written as a label map of their own."""
    pair = case_pair(cross_validation.case(name), prediction, ignored)
    if not cross_validation.halved:
        return pair
    half = cross_validation.folder.path / "halves" / f"{name}.nii.gz"
    return replace(pair, name=name, reference=half, labels=None)


def _halved_pair(cross_validation: CrossValidation, emit: Emit) -> list[Pair]:
    """The only case, each half as the model of the other one predicts it."""
    case = cross_validation.case("")
    plan = load_package(cross_validation.job(0).model).plan
    values = {item.name: item.value for item in plan.classes}
    second, first = (next(iter(cross_validation.predictions(index).values())) for index in (0, 1))
    ignored = cross_validation.train.data.ignore_label
    assert ignored is not None
    labels = joined(case, cross_validation.folder.path / "halves", (first, second), values, ignored)
    output = cross_validation.folder.report / "predictions" / f"{case.name}.seg.nrrd"
    write_result(labels, output, plan)
    return [case_pair(case, output, plan.ignore_label)]


def _left_out(cross_validation: CrossValidation) -> list[str]:
    val_names = {name for fold in cross_validation.folds for name in fold["val"]}
    rest = [case.name for case in cross_validation.dataset.cases if case.name not in val_names]
    if cross_validation.halved or not rest:
        return []
    return [
        f"{len(rest)} of {len(cross_validation.dataset.cases)} cases were never held out and are not in these numbers."
    ]


NEXT = {2: "third", 3: "fourth", 4: "fifth"}
FEW = 4  # cases, of which a mean and a deviation would say more than anyone knows


def next_case_text(dice: Mapping[str, float | None], *, halves: Sequence[float | None] = ()) -> str:
    """A sentence or two on the mean Dice of each case when it was held out.

    halves: Dice of the halves of the only case, each by a model trained on the other.
    """
    defined = {name: value for name, value in dice.items() if value is not None}
    if halves:
        scores = " and ".join("unknown" if value is None else f"{value:.2f}" for value in halves)
        return (
            f"1 case, cut into halves: Dice {scores}, each half by a model trained on the other. Both are of one "
            "patient and one image: another patient may well lie far outside of that."
        )
    if not defined:
        return f"{len(dice)} cases, and none has any of the classes: nobody knows how good the model is."
    values = np.array(list(defined.values()))
    if len(defined) == 1:
        return f"1 case was held out: Dice {values[0]:.2f}. Another patient may well lie far outside of that."
    if len(defined) <= FEW:
        return (
            f"{len(defined)} cases: Dice {values.min():.2f} to {values.max():.2f} when each was held out once; "
            f"a {NEXT[len(defined)]} patient may well lie outside of that."
        )
    low, high = np.percentile(values, (5, 95))
    worst = min(defined, key=lambda name: defined[name])
    return (
        f"{len(defined)} cases, each held out once: Dice {values.mean():.3f} on average, standard deviation "
        f"{values.std(ddof=1):.3f}, 9 of 10 between {low:.2f} and {high:.2f}; the worst is {worst} with "
        f"{values.min():.2f}. Images from elsewhere may do worse."
    )
