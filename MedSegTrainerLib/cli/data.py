"""Commands that look at data before a training."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from MedSegTrainerLib.cli.options import (
    Adapt,
    Budget,
    Cache,
    ConfigFile,
    Data,
    Device,
    Epochs,
    Fold,
    Folds,
    Model,
    Rename,
    Settings,
    SplitFile,
    StartModel,
    ValSplit,
)
from MedSegTrainerLib.cli.shared import (
    as_assignments,
    console,
    create_and_run,
    error_console,
    read_train_config,
    start_assignments,
)
from MedSegTrainerLib.config.job_settings import VerifyConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.events import KIND_OF, Planned
from MedSegTrainerLib.job import JobFolder


def verify(
    data: Data,
    job: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the report.")] = Path("verify"),
    config: ConfigFile = None,
    pictures: Annotated[int, typer.Option(metavar="N", help="Draw at most so many cases, the worst first.")] = 100,
    settings: Settings = None,
) -> None:
    """Say what is wrong with the data, and what to do.

    Damaged files, label maps on other grids, duplicates, stray voxels, cases unlike the others, and more; with a
    report of all cases in pictures. Training refuses what is called an error here; with one the exit code is 1.
    """
    values = {"train": asdict(read_train_config(data, config, settings or [])), "pictures": pictures}
    create_and_run(JobFolder(job), parse_config(VerifyConfig, values))


def plan(
    data: Data,
    config: ConfigFile = None,
    model: Model = None,
    budget: Budget = None,
    epochs: Epochs = None,
    device: Device = "auto",
    fold: Fold = None,
    folds: Folds = None,
    val_split: ValSplit = None,
    split_file: SplitFile = None,
    start_from: StartModel = None,
    rename: Rename = None,
    adapt: Adapt = False,
    cache: Cache = None,
    settings: Settings = None,
) -> None:
    """Show what training would do, and why, without doing it."""
    given = as_assignments(
        type=model,
        budget=budget,
        epochs=epochs,
        device=device,
        fold=fold,
        folds=folds,
        val_split=val_split,
        split_file=split_file,
        cache_dir=cache,
    ) + start_assignments(start_from, rename, adapt)
    resolved = read_train_config(data, config, [*given, *(settings or [])])

    from MedSegTrainerLib.cli.console import JobView, class_table, plan_table  # torch takes seconds, --help must not
    from MedSegTrainerLib.jobs.stages import explain, plan_training, scan_data
    from MedSegTrainerLib.jobs.start_from import read_start
    from MedSegTrainerLib.training.time_budget import budget_seconds

    view = JobView(error_console)

    def emit(event: Any) -> None:
        if not isinstance(event, Planned):  # the table below says it all
            view.show({"kind": KIND_OF[type(event)], "time": time.time(), **asdict(event)})

    with view.bar:
        start = read_start(resolved)
        scanned = scan_data(resolved, emit, start=start)
        chosen = plan_training(resolved, scanned, emit, budget_seconds(resolved.trainer), start=start)
    console.print(f"\n{len(scanned.dataset.cases)} cases, layout {scanned.dataset.layout}\n", highlight=False)
    console.print(class_table(scanned.fingerprint), highlight=False)
    console.print()
    console.print(plan_table(explain(chosen)), highlight=False)
