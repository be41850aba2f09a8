"""Commands that look at data before a training, or write them for other programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from MedSegTrainerLib.events import KIND_OF, Emit, Planned
from MedSegTrainerLib.files.plain_text import plain
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

    from MedSegTrainerLib.cli.console import class_table, plan_table  # torch takes seconds, --help must not
    from MedSegTrainerLib.jobs.stages import explain, plan_training, scan_data
    from MedSegTrainerLib.jobs.start_from import read_start
    from MedSegTrainerLib.training.time_budget import budget_seconds

    with _shown() as emit:
        start = read_start(resolved)
        scanned = scan_data(resolved, emit, start=start)
        chosen = plan_training(resolved, scanned, emit, budget_seconds(resolved.trainer), start=start)
    console.print(f"\n{len(scanned.dataset.cases)} cases, layout {scanned.dataset.layout}\n", highlight=False)
    console.print(class_table(scanned.fingerprint), highlight=False)
    console.print()
    console.print(plan_table(explain(chosen)), highlight=False)


def export_data(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="New folder; nnunet: DatasetNNN_NAME.")],
    form: Annotated[str, typer.Option("--format", metavar="TYPE", help="nnunet.")] = "nnunet",
    config: ConfigFile = None,
    fold: Fold = None,
    folds: Folds = None,
    split_file: SplitFile = None,
    settings: Settings = None,
) -> None:
    """Write a data set for other programs.

    It is checked as for a training, which refuses what is called an error. nnunet: nnU-Net's images, label maps and
    dataset.json, with the division into folds (or --fold, --split-file) as splits_final.json.
    """
    given = as_assignments(budget=None, epochs=None, fold=fold, folds=folds, split_file=split_file)
    resolved = read_train_config(data, config, [*given, *(settings or [])])

    from MedSegTrainerLib.export.dataset_formats import export_data as export_dataset

    with _shown() as emit:
        notes = export_dataset(data, output, form, resolved.data, emit)
    for note in notes:
        console.print(plain(note), highlight=False, markup=False)


@contextmanager
def _shown() -> Iterator[Emit]:
    """Events on the terminal while something runs that is no job."""
    from MedSegTrainerLib.cli.console import JobView

    view = JobView(error_console)

    def emit(event: Any) -> None:
        if not isinstance(event, Planned):  # the table of 'plan' says it all
            view.show({"kind": KIND_OF[type(event)], "time": time.time(), **asdict(event)})

    with view.bar:
        yield emit
