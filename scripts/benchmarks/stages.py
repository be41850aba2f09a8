"""The seconds of each stage of a real training, and its share in one of the default budget.

Everything is done by the library's own functions: a data set is read, planned for the budget and prepared; some steps
are taken whole and in their parts, in turn and with the same patches; held-out volumes are judged; checkpoint and
model are written; and the model is applied to files. How often each comes in a whole training follows from the plan.
``other`` is what a whole step takes beyond its parts; below zero where a GPU works on while parts are waited for.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.divided_step import STAGES, DividedStep, Stopwatch
from benchmarks.material import Material
from MedSegTrainerLib.config import DataConfig, NetworkConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.phantom import write_phantoms
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.final_predictions import predict_files
from MedSegTrainerLib.jobs.stages import plan_training, prepare_cases, scan_data
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.training.checkpoint import TrainingState, save_checkpoint
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.time_budget import DEFAULT_BUDGET, budget_seconds
from MedSegTrainerLib.training.validation import Validator

BEFORE, AFTER = ("read", "plan", "preprocess"), ("inference", "report")
AFTER_EPOCHS = ("validation", "package", "checkpoint")
PHANTOMS, FEW_PHANTOMS = 12, 5  # as in scripts/demo.py; with --smoke
STEPS_A_ROUND = 6
RATE = 1e-4
LIMIT = 0.1  # of the time, for everything but forward and backward
MAY_TAKE_MORE = ("forward", "backward")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds. once: of each stage that a training has once. step: a whole step. parts: of the stages of a step.

    epoch_end: of each of ``AFTER_EPOCHS``.
    """

    once: dict[str, float]
    step: float
    parts: dict[str, float]
    epoch_end: dict[str, float]


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Raises MedSegError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = arguments.data
        if data is None:
            write_phantoms(folder, train=FEW_PHANTOMS if arguments.smoke else PHANTOMS, held_out=0)
            data = folder / "train"
        config = _config(data, material.device, smoke=arguments.smoke)
        return measure(config, folder / "job", Stopwatch(material.device), STEPS_A_ROUND * arguments.rounds)


def show(section: dict[str, Any]) -> Table:
    step = section["step"]
    title = (
        f"A training of {section['budget_seconds'] / 60:.0f} minutes: {section['steps']:.0f} steps, "
        f"{section['training_cases']} + {section['held_out_cases']} cases\n"
        f"a step {1000 * step['whole']:.1f} ms, its parts together {1000 * step['parts']:.1f} ms"
    )
    too_much = ", ".join(section["above_a_tenth"]) or "no stage"
    table = Table(title=title, caption=f"Above a tenth of the time, forward and backward left aside: {too_much}")
    table.add_column("Stage", no_wrap=True)
    for heading in ("Once", "Times", "Minutes", "Share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in section["stages"]:
        once = f"{1000 * row['seconds']:.1f} ms" if abs(row["seconds"]) < 1 else f"{row['seconds']:.2f} s"
        total = f"{row['total_seconds'] / 60:.2f}"
        style = "yellow" if row["name"] in section["above_a_tenth"] else "bold" if row["above_a_tenth"] else None
        table.add_row(row["name"], once, f"{row['times']:.0f}", total, f"{row['share']:.1%}", style=style)
    return table


def measure(config: TrainConfig, job: Path, watch: Stopwatch, steps: int) -> dict[str, Any]:
    """The section of a data set: its training planned for the default budget, and ``steps`` steps of it taken."""
    device, folder = watch.device, JobFolder(job)
    with watch.stage("read"):
        scanned = scan_data(config, _unheard)
    with watch.stage("plan"):
        plan = plan_training(config, scanned, _unheard, budget_seconds(config.trainer))
    split = scanned.split
    with watch.stage("preprocess"):
        names = sorted({*split.train, *split.val})
        stored = prepare_cases(plan, config, scanned, names, folder, device, _unheard)
    torch.manual_seed(config.data.seed)
    learner = Learner(plan, config, device)
    learner.loss.ramp = 1.0  # as most steps are: with the boundary term, where there is one
    train_cases = [stored[name] for name in split.train]
    step, parts = measure_steps(learner, train_cases, config, watch, steps)
    held_out = [stored[name] for name in split.val]
    epoch_end = _measure_epoch_end(learner, held_out, config, folder, watch)
    _measure_files(learner, scanned.cases(split.val), folder, watch)
    once = {name: watch.seconds[name] for name in (*BEFORE, *AFTER)}
    measured = Measured(once=once, step=step, parts=parts, epoch_end=epoch_end)
    budget = parse_duration(DEFAULT_BUDGET)
    return {
        "training_cases": len(split.train),
        "held_out_cases": len(split.val),
        "budget_seconds": budget,
        "plan": {key: plan.to_json()[key] for key in ("patch_size", "batch_size", "network", "mixed_precision")},
        "step": {"whole": step, "parts": sum(parts.values()), "steps_taken": steps},
        **whole_training(measured, plan, budget, config.trainer.checkpoint_seconds),
    }


def measure_steps(
    learner: Learner, cases: Sequence[StoredCase], config: TrainConfig, watch: Stopwatch, steps: int
) -> tuple[float, dict[str, float]]:
    """Mean seconds of a step with its batches, and of each of its stages; both kinds see the same patches, in turn."""
    divided = DividedStep(learner, cases, config)
    batches = epoch_batches(cases, learner.plan, config.data, learner.device, 0)
    count = divided.batches

    def whole() -> None:
        learner.step((next(batches) for _ in range(count)), count, RATE)

    whole()  # the first call allocates memory and chooses kernels
    divided.run(Stopwatch(learner.device), RATE)
    for _ in range(steps):
        with watch.stage("step"):
            whole()
        divided.run(watch, RATE)
    return watch.seconds["step"] / steps, {name: watch.seconds.get(name, 0.0) / steps for name in STAGES}


def whole_training(measured: Measured, plan: Plan, budget: float, checkpoint_seconds: float) -> dict[str, Any]:
    """Stages with their share of a training that takes the budget, as far as its plan makes it."""
    after_step = measured.step - sum(measured.parts.values())
    end = measured.epoch_end
    epoch = plan.steps_per_epoch * measured.step + (end["validation"] + end["package"]) / plan.validation_interval
    epochs_between = max(1, math.ceil(checkpoint_seconds / epoch))
    epoch += end["checkpoint"] / epochs_between
    epochs = max(1.0, (budget - sum(measured.once.values())) / epoch)
    steps, validations = epochs * plan.steps_per_epoch, epochs / plan.validation_interval
    times = {"validation": validations, "package": validations, "checkpoint": epochs / epochs_between}
    rows = [(name, measured.once[name], 1.0) for name in BEFORE]
    rows += [(name, seconds, steps) for name, seconds in {**measured.parts, "other": after_step}.items()]
    rows += [(name, seconds, times[name]) for name, seconds in end.items()]
    rows += [(name, measured.once[name], 1.0) for name in AFTER]
    total = sum(seconds * count for _, seconds, count in rows)
    stages = [
        {
            "name": name,
            "seconds": seconds,
            "times": count,
            "total_seconds": seconds * count,
            "share": seconds * count / total,
            "above_a_tenth": seconds * count / total > LIMIT,
        }
        for name, seconds, count in rows
    ]
    above = [row["name"] for row in stages if row["above_a_tenth"] and row["name"] not in MAY_TAKE_MORE]
    return {
        "epochs": epochs,
        "steps": steps,
        "measured": asdict(measured),
        "total_seconds": total,
        "stages": stages,
        "above_a_tenth": above,
    }


def _measure_epoch_end(
    learner: Learner, cases: list[StoredCase], config: TrainConfig, folder: JobFolder, watch: Stopwatch
) -> dict[str, float]:
    validator = Validator(cases, learner.plan, learner.device, overlap=config.data.overlap)
    if cases:
        validator.score(learner.average.weights)
    with watch.stage("validation"):
        if cases:
            validator.score(learner.average.weights)
    with watch.stage("package"):
        save_package(ModelPackage(plan=learner.plan, weights=learner.average.weights), folder.model)
    with watch.stage("checkpoint"):
        save_checkpoint(folder.checkpoint_file, learner, TrainingState(total_steps=1))
    return {name: watch.seconds[name] for name in AFTER_EPOCHS}


def _measure_files(learner: Learner, cases: Sequence[Case], folder: JobFolder, watch: Stopwatch) -> None:
    """``inference`` and ``report``: the end of a training, with all held-out cases."""
    plan = learner.plan
    pairs: list[Pair] = []
    with watch.stage("inference"):
        if cases:
            predictor = Predictor(ModelPackage(plan=plan, weights=learner.average.weights), learner.device)
            pairs = predict_files(predictor, cases, cases, folder.report / "predictions", lambda: None).pairs
    with watch.stage("report"):
        if pairs:
            evaluate(pairs, plan.classes, folder.report, _unheard, title="bench", ignore_label=plan.ignore_label)


def _config(data: Path, device: torch.device, *, smoke: bool) -> TrainConfig:
    trainer = TrainerConfig(device=str(device))
    if not smoke:
        return TrainConfig(data=DataConfig(data_dir=str(data)), trainer=trainer)
    small = DataConfig(data_dir=str(data), patch_size=[16, 32, 32], batch_size=2)
    return TrainConfig(data=small, network=NetworkConfig(dims=3, base_channels=4), trainer=trainer)


def _unheard(event: object) -> None:
    """Nobody listens to the events of a measurement."""
