"""What jobs that train, plan or search have in common: reading the data, planning, preparing the cases."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib.cache_folder import SharedFolder
from MedSegTrainerLib.classes import class_names
from MedSegTrainerLib.config.network_settings import network_settings, requested_classes
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import DataConfig, TrainConfig
from MedSegTrainerLib.data.case_contents import CaseRecord
from MedSegTrainerLib.data.checks.drawn_classes import undrawn_classes
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint, take_fingerprint
from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.samples.cache import StoredCase, build_cache, open_cache, places_of
from MedSegTrainerLib.data.shared_cases import SharedCases
from MedSegTrainerLib.data.splits.split import Split, cover_classes, missing_classes, without_cases
from MedSegTrainerLib.data.splits.used_cases import record_cases
from MedSegTrainerLib.events import Emit, Planned, Prepared, Progress, Stage, Warned
from MedSegTrainerLib.findings import refuse_errors, warning_lines
from MedSegTrainerLib.hardware.device import choose_device
from MedSegTrainerLib.hardware.distributed import ALONE, Ranks, device_of
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.job_cases import cases_of_job
from MedSegTrainerLib.jobs.start_from import StartFrom
from MedSegTrainerLib.model.data_profile import describe
from MedSegTrainerLib.planning.planner import make_plan
from MedSegTrainerLib.planning.schedule import few_steps
from MedSegTrainerLib.training.early_stopping import Monitor, monitor_text

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A data set that was read once and found usable. shared: the folder in which its cases are found again, None
    without one."""

    dataset: Dataset
    split: Split
    fingerprint: Fingerprint
    shared: SharedCases | None = None
    data: dict[str, Any] = field(default_factory=dict)  # of data_profile.describe

    def cases(self, names: Sequence[str]) -> list[Case]:
        by_name = {case.name: case for case in self.dataset.cases}
        return [by_name[name] for name in names]


def scan_data(
    config: TrainConfig, emit: Emit, folder: JobFolder | None = None, start: StartFrom | None = None
) -> Scanned:
    """Finds, divides and reads the cases; raises DataError with all that is wrong, and warns of what is doubtful.

    folder: of a training job, which goes on with the cases that it began with. start: the model that it begins as,
    whose held-out cases stay held out, and whose others train.
    """
    of_job = cases_of_job(config.data, folder, emit, start.cases if start else None)
    dataset, split = of_job.dataset, of_job.split
    used = [case for case in dataset.cases if case.name in {*split.train, *split.val, *split.test}]
    count = counter("scan", f"Checking {len(used)} cases ({dataset.layout})", len(used), emit)
    ignored = dataset.ignore_label
    shared = _open_shared(config.data, of_job.contents)
    is_new = folder is not None and not folder.used_cases_file.exists()
    with ThreadPoolExecutor(max_workers=1) as beside:  # at the same time: the disk gives the bytes once for both
        record = beside.submit(record_cases, dataset, split, of_job.contents) if is_new else None
        examination = examine_cases(
            used,
            count,
            num_workers=config.data.num_workers,
            ignore_label=ignored,
            label_names=dataset.label_names,
            shared=shared,
        )
    refuse_errors(examination.findings)
    if shared is not None:
        emit(Prepared(stage="scan", prepared=len(used) - examination.known, found=examination.known))
    for line in warning_lines(examination.findings):
        emit(Warned(message=line))
    named = class_names([value for scan in examination.scans for value in scan.voxels], dataset.label_names)
    present = {scan.name: scan.present(named) for scan in examination.scans}
    split = without_cases(split, [scan.name for scan in examination.scans if scan.known and not scan.known.slices])
    split = cover_classes(split, present)
    if folder is not None and record is not None:
        record.result().divided(split).write(folder.used_cases_file)
    seen = [scan for scan in examination.scans if scan.name in {*split.train, *split.val}]  # test cases decide nothing
    fingerprint = take_fingerprint(dataset, seen, ignored)
    refuse_errors(undrawn_classes(fingerprint.classes, [scan for scan in seen if scan.name in split.train]))
    names = {**dataset.label_names, **{item.value: item.name for item in fingerprint.classes}}
    val_classes = {names[value] for name in split.val for value in present[name]}
    monitor = Monitor(config.trainer, [item.name for item in fingerprint.classes])
    why = monitor.why_unknown(val_classes, has_val_cases=bool(split.val))
    for line in (*missing_classes(split, present, names), *([monitor_text(config.trainer, why)] if why else [])):
        emit(Warned(message=line))
    data = describe([scan for scan in seen if scan.name in split.train], [item.name for item in fingerprint.channels])
    return Scanned(dataset=dataset, split=split, fingerprint=fingerprint, shared=shared, data=data)


def _open_shared(config: DataConfig, contents: Mapping[str, CaseRecord]) -> SharedCases | None:
    if not config.cache_dir:
        return None
    folder = SharedFolder(Path(config.cache_dir), round(config.cache_gb * 1e9))
    folder.open()
    return SharedCases(folder=folder, contents=contents)


def plan_training(
    config: TrainConfig,
    scanned: Scanned,
    emit: Emit,
    seconds_left: float | None,
    ranks: Ranks = ALONE,
    start: StartFrom | None = None,
) -> Plan:
    """The plan for scanned data, emitted as an event; measures steps on the device, for so many ranks.

    seconds_left: of the time budget, None without one. start: the model that the training begins as.
    """
    device, warning = choose_device(config.trainer.device)
    device = device_of(device, ranks)
    if warning:
        emit(Warned(message=warning))
    measuring = "Planning" if start else "Measuring training steps on this device"
    emit(Stage(name="plan", message=measuring))
    torch.manual_seed(config.data.seed)
    model = start.model if start else None
    plan = make_plan(scanned.fingerprint, config, scanned.split, device, seconds_left, ranks.count, model)
    for name, requested in (
        ("in_channels", config.network.in_channels),
        ("out_channels", requested_classes(config.network)),
    ):
        if requested not in ("auto", plan.network[name]):
            emit(Warned(message=f"network.{name} is {plan.network[name]}: {plan.reasons[name]}."))
    warning = few_steps(plan, config, len(scanned.split.train))
    if warning:
        emit(Warned(message=warning))
    choices = explain(plan)
    emit(Planned(choices=choices))
    for name, choice in choices.items():
        logger.info("%s = %s%s", name, choice["value"], f": {choice['reason']}" if choice["reason"] else "")
    return plan


def explain(plan: Plan) -> dict[str, dict[str, Any]]:
    """Every choice with its value and its reason."""
    choices = {
        "device": plan.reasons.get("device", ""), "split": plan.reasons.get("split", ""), **_start_choices(plan),
        "dims": f"{plan.dims}D",
        "network": plan.architecture, "in_channels": plan.network["in_channels"],
        "out_channels": plan.network["out_channels"],
        **({"ignore_label": plan.ignore_label} if "ignore_label" in plan.reasons else {}),
        **({"overlapping": plan.overlapping} if "overlapping" in plan.reasons else {}),
        **network_settings(plan.architecture, plan.network),
        **({"slice_axis": plan.axes[0]} if "slice_axis" in plan.reasons else {}),
        **({"neighbour_slices": plan.neighbour_slices} if plan.neighbour_slices else {}),
        "spacing": [round(mm, 3) for mm in plan.spacing],
        **({"image_size": list(plan.image_size)} if plan.image_size else {}), "patch_size": list(plan.patch_size),
        "batch_size": plan.batch_size, "samples_per_volume": plan.samples_per_volume,
        "normalization": [item.method for item in plan.normalization],
        "flip_axes": [plan.axes[axis] for axis in plan.flip_axes],
        "loss": " + ".join(f"{weight:g} {term}" for term, weight in plan.loss.weights().items()),
        **({"unknown_classes": list(plan.partly_drawn)} if plan.partly_drawn else {}),
        **({"class_weights": [float(f"{w:.3g}") for w in plan.loss.class_weights]} if plan.loss.class_weights else {}),
        "optimizer": plan.optimizer_type, "learning_rate": plan.learning_rate,
        "weight_decay": plan.weight_decay, "lr_schedule": plan.lr_schedule,
        "warmup_epochs": round(plan.warmup_epochs, 2), "epochs": plan.epochs,
        "gradient_clip": plan.gradient_clip, "ema_decay": plan.ema_decay,
        "validation_interval": plan.validation_interval, "cache": plan.cache,
        "arithmetic": ("16-bit" if plan.mixed_precision else "32-bit")
        + (", channels-last" if plan.channels_last else "") + (", compiled" if plan.compiled else ""),
    }  # fmt: skip
    reasons = {**plan.reasons, "device": "", "split": "", "start_from": plan.reasons.get("start_weights", "")}
    return {name: {"value": v, "reason": reasons.get(name, "set by the configuration")} for name, v in choices.items()}


def _start_choices(plan: Plan) -> dict[str, Any]:
    """What becomes of the model that a training begins as; its name stands in the plan's reasons."""
    if "start_from" not in plan.reasons:
        return {}
    return {
        "start_from": plan.reasons["start_from"],
        "start_channels": list(plan.channel_names),
        "start_classes": list(plan.class_names),
    }


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
    """These cases as the network sees them, by name, from the shared folder or the job's cache where they are in it.

    Several ranks prepare a part of them each.
    """

    def prepare(chosen: Sequence[str], on_case: Callable[[], None]) -> tuple[dict[str, StoredCase], int]:
        """And how many were prepared now."""
        new: list[bool] = []

        def note(is_new: bool) -> None:
            new.append(is_new)
            on_case()

        cases, workers = scanned.cases(chosen), config.data.num_workers
        built = build_cache(cases, plan, folder.cache, device, note, num_workers=workers, shared=scanned.shared)
        return built, sum(new)

    ranks.first_does(lambda: open_cache(folder.cache))
    own = names[ranks.rank :: ranks.count]
    there = sum(place.path.is_dir() for place in places_of(scanned.cases(names), plan, folder.cache, scanned.shared))
    found = f", {there} of them from an earlier time" if there else ""
    count = counter("prepare", f"Preparing {len(names)} volumes{found}", len(own), emit)
    if ranks.count > 1:
        _, made = prepare(own, count)
        made = sum(ranks.gather(made))
        ranks.wait()
        built, _ = prepare(names, lambda: None)
    else:
        built, made = prepare(names, count)
    emit(Prepared(stage="prepare", prepared=made, found=len(names) - made))
    return built


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
