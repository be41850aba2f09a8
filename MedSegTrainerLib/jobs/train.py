"""A job of kind ``train`` from folder to report: scan, plan, prepare, train, judge on the original volumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.architectures import asked_classes, network_settings
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import read_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint, take_fingerprint
from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.samples.cache import StoredCase, build_cache, open_cache
from MedSegTrainerLib.data.splits.split import Split, cover_classes, missing_classes, split_dataset
from MedSegTrainerLib.data.splits.used_cases import record_cases
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.errors import DataError, JobError, TrainingError
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.events import Emit, EventReader, Planned, Progress, Resumed, Stage, Warned
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.findings import refuse_errors, warning_lines
from MedSegTrainerLib.guide.advisor import advise, history_from_events, news
from MedSegTrainerLib.guide.remedies import facts_of
from MedSegTrainerLib.hardware.device import choose_device
from MedSegTrainerLib.hardware.distributed import ALONE, Bystander, Ranks, device_of
from MedSegTrainerLib.inference.predictor import Predictor, describe_plan
from MedSegTrainerLib.job import STOP_NOW, JobFolder, JobOwner, Outcome
from MedSegTrainerLib.jobs.final_predictions import predict_files
from MedSegTrainerLib.jobs.job_cases import cases_of_job
from MedSegTrainerLib.jobs.kept_settings import keep_settings
from MedSegTrainerLib.model.data_profile import describe
from MedSegTrainerLib.model.package import DESCRIPTION, load_package, save_description
from MedSegTrainerLib.model.postprocessing import to_json
from MedSegTrainerLib.planning.planner import make_plan
from MedSegTrainerLib.planning.schedule import few_steps
from MedSegTrainerLib.training.checkpoint import TrainingState, load_checkpoint, refuse_unfit_folder
from MedSegTrainerLib.training.curve_points import CurvePoints
from MedSegTrainerLib.training.dashboard import Dashboard
from MedSegTrainerLib.training.early_stopping import Monitor, judging_words
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.session import Training
from MedSegTrainerLib.training.trainer import fit
from MedSegTrainerLib.training.validation import HeldOut

DEFAULT_BUDGET = "20m"


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A data set that was read once and found usable."""

    dataset: Dataset
    split: Split
    fingerprint: Fingerprint
    data: dict[str, Any] = field(default_factory=dict)  # of likeness.describe

    def cases(self, names: Sequence[str]) -> list[Case]:
        by_name = {case.name: case for case in self.dataset.cases}
        return [by_name[name] for name in names]


def scan_data(config: TrainConfig, emit: Emit, folder: JobFolder | None = None) -> Scanned:
    """Finds, divides and reads the cases; raises DataError with all that is wrong, and warns of what is doubtful.

    folder: of a training job, which goes on with the cases that it began with.
    """
    if folder is None:
        dataset = find_cases(Path(config.data.data_dir), config.data)
        split = split_dataset(dataset, config.data)
    else:
        dataset, split = cases_of_job(config.data, folder, emit)
    used = [case for case in dataset.cases if case.name in {*split.train, *split.val, *split.test}]
    count = counter("scan", f"Checking {len(used)} cases ({dataset.layout})", len(used), emit)
    ignored = dataset.ignore_label
    is_new = folder is not None and not folder.used_cases_file.exists()
    with ThreadPoolExecutor(max_workers=1) as beside:  # at the same time: the disk gives the bytes once for both
        record = beside.submit(record_cases, dataset, split) if is_new else None
        examination = examine_cases(
            used, count, num_workers=config.data.num_workers, ignore_label=ignored, label_names=dataset.label_names
        )
    refuse_errors(examination.findings)
    for line in warning_lines(examination.findings):
        emit(Warned(message=line))
    present = {scan.name: frozenset(scan.voxels) - {0} for scan in examination.scans}
    split = cover_classes(split, present)
    if folder is not None and record is not None:
        record.result().divided(split).write(folder.used_cases_file)
    seen = [scan for scan in examination.scans if scan.name in {*split.train, *split.val}]  # test cases decide nothing
    fingerprint = take_fingerprint(dataset, seen, ignored)
    names = {**dataset.label_names, **{item.value: item.name for item in fingerprint.classes}}
    judged = {names[value] for name in split.val for value in present[name]}
    monitor = Monitor(config.trainer, [item.name for item in fingerprint.classes])
    why = monitor.why_unknown(judged, held_out=bool(split.val))
    for line in (*missing_classes(split, present, names), *([judging_words(config.trainer, why)] if why else [])):
        emit(Warned(message=line))
    data = describe([scan for scan in seen if scan.name in split.train], [item.name for item in fingerprint.channels])
    return Scanned(dataset=dataset, split=split, fingerprint=fingerprint, data=data)


def plan_training(
    config: TrainConfig, scanned: Scanned, emit: Emit, started: float, ranks: Ranks = ALONE
) -> Plan:  # fmt: skip
    """The plan for scanned data, told as an event; measures steps on the device, for so many ranks."""
    device, warning = choose_device(config.trainer.device)
    device = device_of(device, ranks)
    if warning:
        emit(Warned(message=warning))
    emit(Stage(name="plan", message="Measuring training steps on this device"))
    torch.manual_seed(config.data.seed)
    left = None
    if config.trainer.epochs == "auto":
        left = parse_duration(config.trainer.budget or DEFAULT_BUDGET) - (time.time() - started)
    plan = make_plan(scanned.fingerprint, config, scanned.split, device, left, ranks.count)
    for name, asked in (("in_channels", config.network.in_channels), ("out_channels", asked_classes(config.network))):
        if asked not in ("auto", plan.network[name]):
            emit(Warned(message=f"network.{name} is {plan.network[name]}: {plan.reasons[name]}."))
    warning = few_steps(plan, config, len(scanned.split.train))
    if warning:
        emit(Warned(message=warning))
    emit(Planned(choices=explain(plan)))
    return plan


def explain(plan: Plan) -> dict[str, dict[str, Any]]:
    """Every choice with its value in words and its reason."""
    shown = {
        "device": plan.reasons.get("device", ""), "split": plan.reasons.get("split", ""), "dims": f"{plan.dims}D",
        "network": plan.architecture, "in_channels": plan.network["in_channels"],
        "out_channels": plan.network["out_channels"], **network_settings(plan.architecture, plan.network),
        **({"slice_axis": plan.slice_axis} if "slice_axis" in plan.reasons else {}),
        **({"neighbour_slices": plan.neighbour_slices} if plan.neighbour_slices else {}),
        "spacing": [round(mm, 3) for mm in plan.spacing],
        **({"image_size": list(plan.image_size)} if plan.image_size else {}), "patch_size": list(plan.patch_size),
        "batch_size": plan.batch_size, "samples_per_volume": plan.samples_per_volume,
        "normalization": [how.method for how in plan.normalization],
        "flip_axes": [plan.axes[axis] for axis in plan.flip_axes],
        "loss": " + ".join(f"{weight:g} {term}" for term, weight in plan.loss.weights().items()),
        **({"class_weights": [float(f"{w:.3g}") for w in plan.loss.class_weights]} if plan.loss.class_weights else {}),
        "optimizer": plan.optimizer_type, "learning_rate": plan.learning_rate,
        "weight_decay": plan.weight_decay, "lr_schedule": plan.lr_schedule,
        "warmup_epochs": round(plan.warmup_epochs, 2), "epochs": plan.epochs,
        "gradient_clip": plan.gradient_clip, "ema_decay": plan.ema_decay,
        "validation_interval": plan.validation_interval, "cache": plan.cache,
        "arithmetic": ("16-bit" if plan.mixed_precision else "32-bit")
        + (", channels-last" if plan.channels_last else "") + (", compiled" if plan.compiled else ""),
    }  # fmt: skip
    reasons = {**plan.reasons, "device": "", "split": ""}
    return {name: {"value": v, "reason": reasons.get(name, "set by the configuration")} for name, v in shown.items()}


def run_train(
    config: TrainConfig,
    folder: JobFolder,
    owner: JobOwner | Bystander,
    emit: Emit,
    started: float,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Trains, or goes on where an earlier process ended; ``started`` is when the time budget began to run.

    With several ranks each calls this; all but the first say nothing and write nothing but prepared volumes.
    """
    ranks.first_does(lambda: keep_settings(config, folder, begun=folder.plan_file.exists()))
    scanned = ranks.first_does(lambda: scan_data(config, emit, folder))
    monitor = Monitor(config.trainer, [item.name for item in scanned.fingerprint.classes])
    plan = ranks.first_does(lambda: _plan_once(config, scanned, folder, emit, started, ranks))
    training = _prepare(config, plan, scanned, monitor, folder, owner, emit, started, ranks)
    if training.is_over:
        emit(Warned(message=_over(training)))
    emit(Stage(name="train", message="Training", total=training.state.total_steps))
    owner.update(state="running", stage="train")
    stopped = fit(training)
    if not ranks.is_first:
        return Outcome(message="Trained.", result=str(folder.model), stopped=stopped)
    training.dashboard.close()
    if stopped == STOP_NOW:
        return Outcome(
            message="Stopped at once; the best model so far is kept.", result=str(folder.model), stopped=stopped
        )
    message = _final_report(training, scanned)
    if not stopped and training.state.step < training.state.total_steps:
        since = training.state.improved_epoch
        message = f"Stopped early: {monitor.name} has not improved since epoch {since}. {message}"
    return Outcome(message=message, result=str(folder.model), stopped=stopped)


def _over(training: Training) -> str:
    return (
        f"This training came to its end before, at epoch {training.state.epoch}: only its report is made anew. To "
        "train longer, begin a new training with more --epochs or --budget in another folder."
    )


def _plan_once(
    config: TrainConfig, scanned: Scanned, folder: JobFolder, emit: Emit, started: float, ranks: Ranks
) -> Plan:
    """The plan of the job, made where it has none yet."""
    if folder.plan_file.exists():
        plan = read_plan(folder.plan_file)
        _refuse_unplanned(plan, scanned.fingerprint)
    else:
        plan = plan_training(config, scanned, emit, started, ranks)
        atomic.write_json(folder.plan_file, plan.to_json())
    if plan.batch_size < ranks.count:
        raise TrainingError(
            f"A batch of {plan.batch_size} patches cannot be divided among {ranks.count} processes. "
            f"Use at most {plan.batch_size} devices, or begin a new training with a larger data.batch_size."
        )
    return plan


def _refuse_unplanned(plan: Plan, found: Fingerprint) -> None:
    """What the plan does not know would be trained as background, or not at all."""
    values = sorted({item.value for item in found.classes} - {item.value for item in plan.classes})
    if values:
        known = ", ".join(f"{item.value} ({item.name})" for item in plan.classes)
        raise DataError(
            f"The label maps hold {', '.join(map(str, values))}, and this training was planned for {known}. Put the "
            "label maps back as they were, or begin a new training in another folder."
        )
    if len(found.channels) != len(plan.normalization):
        raise DataError(
            f"The images have {len(found.channels)} channels, and this training was planned for "
            f"{len(plan.normalization)}. Put the images back as they were, or begin a new training in another folder."
        )


def prepare_cases(
    plan: Plan,
    config: TrainConfig,
    scanned: Scanned,
    names: Sequence[str],
    folder: JobFolder,
    device: torch.device,
    emit: Emit,
    ranks: Ranks = ALONE,
) -> dict[str, StoredCase]:
    """These cases as the network sees them, by name, from the job's cache where they are in it.

    Several ranks prepare a part of them each.
    """

    def prepare(chosen: Sequence[str], on_case: Callable[[], None]) -> dict[str, StoredCase]:
        return build_cache(
            scanned.cases(chosen), plan, folder.cache, device, on_case,
            num_workers=config.data.num_workers,
        )  # fmt: skip

    ranks.first_does(lambda: open_cache(folder.cache))
    own = names[ranks.rank :: ranks.count]
    count = counter("prepare", f"Preparing {len(names)} volumes", len(own), emit)
    if ranks.count > 1:
        prepare(own, count)
        ranks.wait()
    return prepare(names, count if ranks.count == 1 else lambda: None)


def _prepare(
    config: TrainConfig,
    plan: Plan,
    scanned: Scanned,
    monitor: Monitor,
    folder: JobFolder,
    owner: JobOwner | Bystander,
    emit: Emit,
    started: float,
    ranks: Ranks,
) -> Training:
    device = device_of(choose_device(config.trainer.device)[0], ranks)
    split = scanned.split
    owner.update(state="running", stage="prepare")
    cached = prepare_cases(plan, config, scanned, sorted({*split.train, *split.val}), folder, device, emit, ranks)
    torch.manual_seed(config.data.seed)
    learner = Learner(plan, config, device, ranks)
    if learner.compiled and learner.compiled.error:
        emit(Warned(message=f"The network is trained as it is: it could not be compiled. {learner.compiled.error}"))
    if config.trainer.save_frequency or config.trainer.save_best_only:
        refuse_unfit_folder(folder, config.trainer.checkpoint_dir)
    state = TrainingState(total_steps=plan.epochs * plan.steps_per_epoch)
    if folder.checkpoint_file.exists():
        state = load_checkpoint(folder.checkpoint_file, learner)
        learner.clip = plan.gradient_clip if state.clip is None else state.clip
        _remember_best(state, plan, folder, monitor)
        emit(Resumed(epoch=state.epoch, step=state.step))
    deadline = None
    if config.trainer.epochs == "auto":
        deadline = started + parse_duration(config.trainer.budget or DEFAULT_BUDGET) - state.seconds
    return Training(
        plan=plan, config=config, folder=folder, owner=owner, emit=emit, device=device, ranks=ranks,
        train_cases=[cached[name] for name in split.train],
        held_out=HeldOut(
            [cached[name] for name in split.val], plan, device, overlap=config.data.overlap,
            warn=lambda words: emit(Warned(message=words)), ranks=ranks,
        ),
        learner=learner, state=state, monitor=monitor, deadline=deadline, data=scanned.data,
        dashboard=Dashboard(
            folder, plan, tensorboard=config.trainer.tensorboard and ranks.is_first, epoch=state.epoch
        ),
    )  # fmt: skip


def _remember_best(state: TrainingState, plan: Plan, folder: JobFolder, monitor: Monitor) -> None:
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


def _final_report(training: Training, scanned: Scanned) -> str:
    """Applies the best model to the held-out files themselves and writes the report and the model's metrics."""
    split, folder, emit = scanned.split, training.folder, training.emit
    names, kind = (split.test, "test") if split.test else (split.val, "validation")
    if not (folder.model / DESCRIPTION).exists():
        raise JobError("The training was stopped before its first validation: there is no model yet. Resume it.")
    curves = [point for point in CurvePoints(folder.events_file).read() if "minutes" in point]
    package = replace(load_package(folder.model), curves=curves)
    save_description(package, folder.model)
    advice = _last_words(training)
    if not names:
        return "Trained without held-out cases: nobody knows how good the model is."
    count = counter("apply", f"Applying the best model to the {kind} cases ({len(names)})", len(names), emit)
    training.owner.update(stage="report", progress=1.0, epoch=training.state.epoch)
    predictor = Predictor(package, training.device, warn=lambda words: emit(Warned(message=words)))
    pairs, cleanings = predict_files(
        predictor, scanned.cases(names), scanned.cases(split.val), folder.report / "predictions", count,
        deadline=training.deadline,
    )  # fmt: skip
    package = replace(package, postprocessing=to_json(cleanings))
    facts = {
        **describe_plan(training.plan), "Cases": split.reason, "Best epoch": str(package.training.get("epoch")),
        "Clean-up": "; ".join(item.words() for item in cleanings if item.does_something) or "none",
    }  # fmt: skip
    document = evaluate(
        pairs, training.plan.classes, folder.report, emit,
        title=f"Training report: {folder.path.name}", facts=facts,
        curves=curves, advice=advice, ignore_label=training.plan.ignore_label,
    )  # fmt: skip
    held_out = {f"{kind}_cases": list(names), "summary": document["summary"], "measured_on": kind}
    save_description(replace(package, metrics={**package.metrics, **held_out}), folder.model)
    return f"Trained. Report: {folder.report / 'report.html'}"


def _last_words(training: Training) -> list[dict[str, Any]]:
    """What the curves say in the end, for the report; what was not said before is told."""
    events = EventReader(training.folder.events_file).read(limit=10**9)
    facts = facts_of(training.config, training.plan, len(training.train_cases))
    for event in news(events, facts, ended=True):
        training.emit(event)
    return [advice.to_json() for advice in advise(history_from_events(events), facts, ended=True)]


def counter(name: str, message: str, total: int, emit: Emit) -> Callable[[], None]:
    """Announces a stage and returns what to call after each unit of it."""
    emit(Stage(name=name, message=message, total=total))
    done, last = 0, time.time()

    def count() -> None:
        nonlocal done, last
        done += 1
        if done == total or time.time() - last > 1:
            last = time.time()
            emit(Progress(done=done, total=total))

    return count
