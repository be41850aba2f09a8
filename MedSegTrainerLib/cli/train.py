"""Commands that train."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib import atomic
from MedSegTrainerLib.cli.options import (
    DATA_HELP,
    Adapt,
    Budget,
    Cache,
    ConfigFile,
    Data,
    Device,
    Devices,
    Epochs,
    Fold,
    Folds,
    FoldsAtOnce,
    Model,
    NewJob,
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
    read_train_config,
    resume_job,
    run_and_watch,
    start_assignments,
)
from MedSegTrainerLib.config.job_settings import CrossValidateConfig, FindRateConfig, job_document
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.kinds import parse_job


def train(
    data: Annotated[Path | None, typer.Argument(help=DATA_HELP)] = None,
    job: NewJob = Path("job"),
    config: ConfigFile = None,
    model: Model = None,
    budget: Budget = None,
    epochs: Epochs = None,
    device: Device = "auto",
    devices: Devices = None,
    fold: Fold = None,
    folds: Folds = None,
    val_split: ValSplit = None,
    split_file: SplitFile = None,
    start_from: StartModel = None,
    rename: Rename = None,
    adapt: Adapt = False,
    cache: Cache = None,
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the job in the output folder.")] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Only write the job, for 'medsegtrainer run' or torchrun.")
    ] = False,
) -> None:
    """Train a network on labelled volumes.

    Everything is chosen from the data, the device and the time you give; every choice can be made by
    hand. Ctrl+C stops and keeps the best model. When this window is closed the job goes on: see it
    with 'medsegtrainer status JOB', end it with 'medsegtrainer stop JOB'.
    """
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
        devices=None if resume else devices,
    ) + start_assignments(start_from, rename, adapt)
    if resume:
        if data is not None or config is not None or given or settings:
            longer = _longer(epochs, budget)
            raise UsageError(f"--resume goes on as the job began: give -o JOB alone, or with other --devices.{longer}")
        resume_job(JobFolder(job), devices)
    elif data is None:
        raise UsageError("Give the folder with the labelled volumes: medsegtrainer train DATA -o JOB.")
    elif create:
        JobFolder(job).create(read_train_config(data, config, [*given, *(settings or [])]))
        console.print(f"Start it with: {subprocess.list2cmdline(['medsegtrainer', 'run', str(job)])}", markup=False)
    else:
        create_and_run(JobFolder(job), read_train_config(data, config, [*given, *(settings or [])]))
    if JobFolder(job).model.exists():
        apply_it = subprocess.list2cmdline(["medsegtrainer", "apply", str(job), "IMAGES", "-o", "OUT"])
        console.print(f"Model: {JobFolder(job).model}\nApply it to images: {apply_it}", highlight=False, markup=False)


def _longer(epochs: int | None, budget: str | None) -> str:
    """How to train longer, for who asks a job to go on with another length."""
    if epochs is None and budget is None:
        return ""
    return " To train longer, begin a new training with more --epochs or --budget in another folder (DATA -o OTHER)."


def cross_validate(
    data: Annotated[Path | None, typer.Argument(help=DATA_HELP)] = None,
    job: NewJob = Path("cross-validation"),
    folds: Annotated[int | None, typer.Option(metavar="N", help="Number of equal parts.  [default: 5]")] = None,
    config: ConfigFile = None,
    model: Model = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Time for each fold.  [default: 20m]")] = None,
    epochs: Epochs = None,
    device: Device = "auto",
    devices: FoldsAtOnce = None,
    split_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON list of folds, each with two lists 'train' and 'val'.")
    ] = None,
    cache: Cache = None,
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the folds in the output folder.")] = False,
) -> None:
    """Say how good a model of these data is, and make an ensemble.

    Each part of the cases is held out once, in a training of its own in OUT/folds; the report is of all cases, each
    segmented by the model that did not see it. With up to four cases each is held out once, a single one is cut into
    halves. Apply the result, an ensemble of all folds, as any other model.
    """
    given = as_assignments(
        type=model,
        budget=budget,
        epochs=epochs,
        device=device,
        folds=folds,
        split_file=split_file,
        cache_dir=cache,
    )
    if resume:
        if data is not None or config is not None or given or settings:
            raise UsageError(
                "--resume goes on as the job began: give -o OUT, and --devices where they are others."
                + _longer(epochs, budget)
            )
        if devices is not None:
            _change_devices(JobFolder(job), devices)
        resume_job(JobFolder(job))
    elif data is None:
        raise UsageError("Give the folder with the labelled volumes: medsegtrainer cross-validate DATA -o OUT.")
    else:
        train_config = read_train_config(data, config, [*given, *(settings or [])])
        values = {"train": asdict(train_config), **({} if devices is None else {"devices": devices})}
        create_and_run(JobFolder(job), parse_config(CrossValidateConfig, values))


def _change_devices(folder: JobFolder, devices: str) -> None:
    config = parse_job(folder.read_document())
    if isinstance(config, CrossValidateConfig):
        changed = parse_config(CrossValidateConfig, {"train": asdict(config.train), "devices": devices})
        atomic.write_json(folder.job_file, job_document(changed))


def find_lr(
    data: Data,
    job: NewJob = Path("find-lr"),
    config: ConfigFile = None,
    model: Model = None,
    budget: Budget = None,
    epochs: Epochs = None,
    device: Device = "auto",
    fold: Fold = None,
    folds: Folds = None,
    val_split: ValSplit = None,
    split_file: SplitFile = None,
    cache: Cache = None,
    settings: Settings = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of training, each with a higher rate.")] = 200,
    lowest: Annotated[float, typer.Option(metavar="RATE", help="Learning rate to begin with.")] = 1e-7,
    highest: Annotated[float, typer.Option(metavar="RATE", help="Where to end, unless the loss explodes.")] = 1.0,
) -> None:
    """Find a good learning rate (range test).

    Trains some steps with rising rates and suggests the one at which the loss falls fastest; see the picture.
    Give the options of the training that it is for.
    """
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
    ) + (settings or [])
    values = {
        "train": asdict(read_train_config(data, config, given)),
        "steps": steps,
        "lowest": lowest,
        "highest": highest,
    }
    create_and_run(JobFolder(job), parse_config(FindRateConfig, values))
    for event in EventReader(JobFolder(job).events_file).read(limit=10**9):
        if event["kind"] == "rates":
            command = ["medsegtrainer", "train", str(data), *(["--config", str(config)] if config else [])]
            command += [w for setting in (*given, f"learning_rate={event['suggestion']:g}") for w in ("--set", setting)]
            console.print(f"Train with it: {subprocess.list2cmdline(command)}", highlight=False, markup=False)


def workflow(
    document: Annotated[Path, typer.Argument(metavar="FILE", help="JSON document with nodes, and links or none.")],
    job: NewJob = Path("job"),
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder with the data, instead of data_dir.")] = None,
    settings: Settings = None,
    validate: Annotated[bool, typer.Option("--validate", help="Only check the document and say what it does.")] = False,
) -> None:
    """Do what a workflow document says.

    A document that trains makes the job that 'train' makes. One with a BatchPredictor applies a model to the test
    cases of its loader; with a MetricsCalculator or a Visualizer the results are measured and drawn. Its jobs and
    results lie in the output folder. Paths in it count from where you are, then from where the document is.
    """
    from MedSegTrainerLib.workflow.document import read_workflow
    from MedSegTrainerLib.workflow.jobs import jobs_of, run_jobs
    from MedSegTrainerLib.workflow.settings_files import read_object

    parsed = read_workflow(read_object(document, "'nodes'"), document.resolve().parent, settings or [], data)
    jobs = jobs_of(parsed, job)
    if validate:
        listing = "\n".join(f"{number}. {step.description}" for number, step in enumerate(jobs.steps, start=1))
        console.print(f"{parsed.title}: the document is right. It would\n{listing}", highlight=False, markup=False)
    elif run_jobs(jobs, run_and_watch):
        for name, path in jobs.results:
            console.print(f"{name}: {path}", highlight=False, markup=False)
    else:
        console.print("Stopped; what was to come after was not run.", highlight=False)
