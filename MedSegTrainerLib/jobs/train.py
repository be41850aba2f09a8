"""A job of kind ``train`` from folder to report: scan, plan, prepare, train, evaluate on the original volumes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import unknown_classes
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import read_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.data.splits.used_cases import read_used_cases
from MedSegTrainerLib.errors import DataError, JobError, TrainingError, some
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.events import Compared, Emit, EventReader, Resumed, Stage, Warned
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.guide.advisor import advise, history_from_events, news
from MedSegTrainerLib.guide.remedies import facts_of
from MedSegTrainerLib.hardware.device import choose_device, describe
from MedSegTrainerLib.hardware.distributed import device_of
from MedSegTrainerLib.inference.predictor import Predictor, describe_plan
from MedSegTrainerLib.job import STOP_NOW, JobFolder, Outcome
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.final_predictions import predict_files
from MedSegTrainerLib.jobs.kept_settings import keep_settings
from MedSegTrainerLib.jobs.stages import Scanned, counter, plan_training, prepare_cases, scan_data
from MedSegTrainerLib.jobs.start_from import StartFrom, has_new_channels, read_start, start_weights
from MedSegTrainerLib.model.before_after import before_after, before_after_text
from MedSegTrainerLib.model.description import DESCRIPTION
from MedSegTrainerLib.model.likely_dice import held_out_points, leave_one_out
from MedSegTrainerLib.model.likely_dice import to_json as points_to_json
from MedSegTrainerLib.model.lineage import UNCHANGED, best_epoch_text, case_entries, is_unchanged, lineage_lines
from MedSegTrainerLib.model.package import ModelPackage, load_package, save_description
from MedSegTrainerLib.model.postprocessing import to_json
from MedSegTrainerLib.training.checkpoint import TrainingState, load_checkpoint, refuse_unfit_folder
from MedSegTrainerLib.training.curve_points import CurvePoints
from MedSegTrainerLib.training.dashboard import Dashboard
from MedSegTrainerLib.training.early_stopping import Monitor
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.session import TrainingSession
from MedSegTrainerLib.training.time_budget import TimeBudget, budget_seconds
from MedSegTrainerLib.training.trainer import fit
from MedSegTrainerLib.training.validation import Validator

logger = logging.getLogger(__name__)


def run_train(config: TrainConfig, context: JobContext) -> Outcome:
    """Trains, or goes on where an earlier process ended. With several ranks each calls this."""
    folder, owner, emit, ranks = context.folder, context.owner, context.emit, context.ranks
    budget = TimeBudget(budget_seconds(config.trainer), context.started, context.clock)
    ranks.first_does(lambda: keep_settings(config, folder, resumed=folder.plan_file.exists()))
    start = ranks.first_does(lambda: read_start(config, folder))
    scanned = ranks.first_does(lambda: scan_data(config, emit, folder, start))
    monitor = Monitor(config.trainer, [item.name for item in scanned.fingerprint.classes])
    plan = ranks.first_does(lambda: _plan_once(config, scanned, context, budget, start))
    session = _prepare(config, plan, scanned, monitor, context, budget, start)
    if session.is_over:
        emit(Warned(message=_over(session)))
    emit(Stage(name="train", message="Training", total=session.state.total_steps))
    owner.update(state="running", stage="train")
    stopped = fit(session)
    if not ranks.is_first:
        return Outcome(message="Trained.", result=str(folder.model), stopped=stopped)
    session.dashboard.close()
    if stopped == STOP_NOW:
        return Outcome(
            message="Stopped at once; the best model so far is kept.", result=str(folder.model), stopped=stopped
        )
    message = _final_report(session, scanned)
    if not stopped and session.state.step < session.state.total_steps:
        since = session.state.improved_epoch
        message = f"Stopped early: {monitor.name} has not improved since epoch {since}. {message}"
    return Outcome(message=message, result=str(folder.model), stopped=stopped)


def _over(session: TrainingSession) -> str:
    return (
        f"This training came to its end before, at epoch {session.state.epoch}: only its report is made anew. To "
        "train longer, begin a new training with more --epochs or --budget in another folder."
    )


def _plan_once(
    config: TrainConfig, scanned: Scanned, context: JobContext, budget: TimeBudget, start: StartFrom | None
) -> Plan:
    """The plan of the job, made where it has none yet."""
    folder, ranks = context.folder, context.ranks
    if folder.plan_file.exists():
        plan = read_plan(folder.plan_file)
        _refuse_unplanned(plan, scanned)
    else:
        plan = plan_training(config, scanned, context.emit, budget.seconds_left, ranks, start)
        atomic.write_json(folder.plan_file, plan.to_json())
    if plan.batch_size < ranks.count:
        raise TrainingError(
            f"A batch of {plan.batch_size} patches cannot be divided among {ranks.count} processes. "
            f"Use at most {plan.batch_size} devices, or begin a new training with a larger data.batch_size."
        )
    return plan


def _refuse_unplanned(plan: Plan, scanned: Scanned) -> None:
    """What the plan does not know would be trained as background, or not at all."""
    fingerprint = scanned.fingerprint
    values = sorted({item.value for item in fingerprint.classes} - {item.value for item in plan.classes})
    if values:
        planned = ", ".join(f"{item.value} ({item.name})" for item in plan.classes)
        raise DataError(
            f"The label maps hold {', '.join(map(str, values))}, and this training was planned for {planned}. Put the "
            "label maps back as they were, or begin a new training in another folder."
        )
    if len(fingerprint.channels) != len(plan.normalization):
        raise DataError(
            f"The images have {len(fingerprint.channels)} channels, and this training was planned for "
            f"{len(plan.normalization)}. Put the images back as they were, or begin a new training in another folder."
        )
    planned_sets = {(), *(code.unknown for code in plan.label_codes)}
    unknown_sets = {case.name: unknown_classes(plan.class_names, case.drawn) for case in scanned.dataset.cases}
    others = [name for name, unknown in unknown_sets.items() if unknown not in planned_sets]
    if others:
        raise DataError(
            f"Other classes are said to be drawn in {some(others)} than when this training was planned. Put drawn.json "
            "or cases.json back as they were, or begin a new training in another folder."
        )


def _prepare(
    config: TrainConfig,
    plan: Plan,
    scanned: Scanned,
    monitor: Monitor,
    context: JobContext,
    budget: TimeBudget,
    start: StartFrom | None,
) -> TrainingSession:
    folder, owner, emit, ranks = context.folder, context.owner, context.emit, context.ranks
    device = device_of(choose_device(config.trainer.device)[0], ranks)
    logger.info("Training on %s, process %d of %d", describe(device), ranks.rank + 1, ranks.count)
    split = scanned.split
    owner.update(state="running", stage="prepare")
    cached = prepare_cases(plan, config, scanned, sorted({*split.train, *split.val}), folder, device, emit, ranks)
    train_cases = [cached[name] for name in split.train]
    begin_as = None
    if start is not None:
        shares = scanned.fingerprint.voxel_share
        begin_as = ranks.first_does(lambda: start_weights(start, plan, config, shares, train_cases, device))
    torch.manual_seed(config.data.seed)
    learner = Learner(plan, config, device, ranks, begin_as)
    if learner.compiled and learner.compiled.error:
        emit(Warned(message=f"The network is trained as it is: it could not be compiled. {learner.compiled.error}"))
    if config.trainer.save_frequency or config.trainer.save_best_only:
        refuse_unfit_folder(folder, config.trainer.checkpoint_dir)
    state = TrainingState(total_steps=plan.epochs * plan.steps_per_epoch)
    if folder.checkpoint_file.exists():
        state = load_checkpoint(folder.checkpoint_file, learner)
        learner.clip = plan.gradient_clip if state.clip is None else state.clip
        _restore_best(state, plan, folder, monitor)
        emit(Resumed(epoch=state.epoch, step=state.step))
    budget.take_off(state.seconds)
    return TrainingSession(
        plan=plan, config=config, folder=folder, owner=owner, emit=emit, device=device, ranks=ranks,
        train_cases=train_cases,
        validator=Validator(
            [cached[name] for name in split.val], plan, device, overlap=config.data.overlap,
            warn=lambda message: emit(Warned(message=message)), ranks=ranks,
        ),
        learner=learner, state=state, monitor=monitor, budget=budget, data=scanned.data,
        begin_as=begin_as, came_as=_came_as(folder) if state.step else {},
        has_new_channels=start is not None and has_new_channels(start, plan, config),
        history=ranks.first_does(lambda: _history(folder, start)),
        dashboard=Dashboard(
            folder, plan, tensorboard=config.trainer.tensorboard and ranks.is_first, epoch=state.epoch
        ),
    )  # fmt: skip


def _history(folder: JobFolder, start: StartFrom | None) -> dict[str, Any]:
    """What the model will tell of the cases it was trained on, and of the models before it."""
    used = read_used_cases(folder.used_cases_file)
    cases = case_entries(used.cases, used.split) if used is not None else {}
    return {"when": time.strftime("%Y-%m-%d"), "cases": cases, **({"lineage": start.lineage} if start else {})}


def _came_as(folder: JobFolder) -> dict[str, Any]:
    """How good the model that a resumed training began as is, as its own model tells."""
    if not (folder.model / DESCRIPTION).exists():
        return {}
    entries = before_after(load_package(folder.model).metrics)
    return entries[0] if entries else {}


def _restore_best(state: TrainingState, plan: Plan, folder: JobFolder, monitor: Monitor) -> None:
    """A model that was judged when somebody stopped the job within an epoch is in no checkpoint, and will not be
    found again: it stays until a better one comes."""
    if not (folder.model / DESCRIPTION).exists():
        return  # killed before the first validation
    package = load_package(folder.model)
    value = package.metrics.get("monitored")
    steps = package.training.get("steps")
    if not fits(value, float | None) or not isinstance(steps, int):
        return  # damaged: the next better one takes its place
    if steps % plan.steps_per_epoch and monitor.is_better(value, state.best):
        state.best = value


def _final_report(session: TrainingSession, scanned: Scanned) -> str:
    """Applies the best model to the held-out files themselves and writes the report and the model's metrics."""
    split, folder, emit = scanned.split, session.folder, session.emit
    names, kind = (split.test, "test") if split.test else (split.val, "validation")
    if not (folder.model / DESCRIPTION).exists():
        raise JobError("The training was stopped before its first validation: there is no model yet. Resume it.")
    package = load_package(folder.model)
    changed = _tell_change(package.metrics, emit)
    curves = [point for point in CurvePoints(folder.events_file).read() if "minutes" in point]
    package = replace(package, curves=curves)
    save_description(package, folder.model)
    advice = _last_printed(session)
    if is_unchanged(package.training):
        emit(Warned(message=f"{UNCHANGED}. It is kept."))
    if not names:
        return "Trained without held-out cases: nobody knows how good the model is."
    count = counter("apply", f"Applying the best model to the {kind} cases ({len(names)})", len(names), emit)
    session.owner.update(stage="report", progress=1.0, epoch=session.state.epoch)
    predictor = Predictor(package, session.device, warn=lambda message: emit(Warned(message=message)))
    held_out = predict_files(
        predictor,
        scanned.cases(names),
        scanned.cases(split.val),
        folder.report / "predictions",
        count,
        is_late=lambda: session.budget.is_used_up,
    )
    points = partial(held_out_points, session.plan.classes, held_out.agreements)
    facts = {
        **describe_plan(session.plan),
        "Cases": split.reason,
        "Best epoch": best_epoch_text(package.training),
        **({"Dice on the validation cases": changed} if changed else {}),
        **_facts_of_start(package, split),
        "Clean-up": "; ".join(item.text() for item in held_out.cleanings if item.does_something) or "none",
    }
    document = evaluate(
        held_out.pairs,
        session.plan.classes,
        folder.report,
        emit,
        title=f"Training report: {folder.path.name}",
        facts=facts,
        curves=curves,
        advice=advice,
        ignore_label=session.plan.ignore_label,
        overlapping=session.plan.overlapping,
        likely=lambda results: leave_one_out(points(results)),
    )
    measured = {f"{kind}_cases": list(names), "summary": document["summary"], "measured_on": kind}
    package = replace(
        package,
        metrics={**package.metrics, **measured},
        postprocessing=to_json(held_out.cleanings),
        likely_dice=points_to_json(points(document)),
    )
    save_description(package, folder.model)
    return f"Trained.{f' Dice {changed}.' if changed else ''} Report: {folder.report / 'report.html'}"


def _tell_change(metrics: Mapping[str, Any], emit: Emit) -> str:
    """Emits how good the model is beside the one that the training began as; returns it as a text, '' of no such."""
    entries = before_after(metrics)
    text = before_after_text(*entries) if entries else ""
    if entries and text:
        emit(Compared(message=f"Dice on the same held-out cases: {text}", start=entries[0], best=entries[1]))
    return text


def _facts_of_start(package: ModelPackage, split: Split) -> dict[str, str]:
    """The models before, and which held-out cases trained them, for the report."""
    lines = lineage_lines(package.training)
    facts = {"Began as": "; ".join(lines)} if lines else {}
    if split.trained_before:
        facts["Held out, though they trained the model before"] = ", ".join(split.trained_before)
    return facts


def _last_printed(session: TrainingSession) -> list[dict[str, Any]]:
    """What the curves say in the end, for the report; what was not given before is emitted."""
    events = EventReader(session.folder.events_file).read(limit=10**9)
    facts = facts_of(session.config, session.plan, len(session.train_cases))
    for event in news(events, facts, ended=True):
        session.emit(event)
    return [advice.to_json() for advice in advise(history_from_events(events), facts, ended=True)]
