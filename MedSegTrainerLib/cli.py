"""The command line. It writes job folders, starts them and shows their events; errors become exit codes only here."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.cli_options import (
    DATA_HELP,
    Budget,
    ConfigFile,
    Data,
    Device,
    Epochs,
    Fold,
    Folds,
    Job,
    Model,
    NewJob,
    Settings,
    SplitFile,
    ValSplit,
)
from MedSegTrainerLib.config import (
    ApplyConfig,
    CrossValidateConfig,
    EvaluateConfig,
    FindRateConfig,
    JobConfig,
    TrainConfig,
    VerifyConfig,
)
from MedSegTrainerLib.duration import format_duration
from MedSegTrainerLib.errors import JobError, MedSegError, UsageError, system_words
from MedSegTrainerLib.events import KIND_OF, EventReader, Planned
from MedSegTrainerLib.job import ACTIVE_STATES, STOP_KEEP_BEST, STOP_NOW, JobFolder
from MedSegTrainerLib.validation import parse_config, parse_job

STARTED = time.time()  # a time budget counts from here: loading the libraries is part of it

app = typer.Typer(
    help="Train, apply and evaluate segmentation networks on medical volumes.",
    epilog="A first try: 'medsegtrainer plan DATA', then 'medsegtrainer train DATA -o JOB --budget 20m'.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip
console = Console(soft_wrap=True)
error_console = Console(stderr=True, soft_wrap=True)


@app.command()
def train(
    data: Annotated[Path | None, typer.Argument(help=DATA_HELP)] = None,
    job: NewJob = Path("job"),
    config: ConfigFile = None,
    model: Model = None,
    budget: Budget = None,
    epochs: Epochs = None,
    device: Device = "auto",
    fold: Fold = None,
    folds: Folds = None,
    val_split: ValSplit = None,
    split_file: SplitFile = None,
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the job in the output folder.")] = False,
) -> None:
    """Train a network on labelled volumes.

    Everything is chosen from the data, the device and the time you give; every choice can be made by
    hand. Ctrl+C stops and keeps the best model. When this window is closed the job goes on: see it
    with 'medsegtrainer status JOB', end it with 'medsegtrainer stop JOB'.
    """
    given = _given(
        type=model, budget=budget, epochs=epochs, device=device, fold=fold, folds=folds, val_split=val_split,
        split_file=split_file,
    )  # fmt: skip
    if resume:
        if data is not None or config is not None or given or settings:
            raise UsageError("--resume goes on as the job began: give -o JOB alone.")
        _resume(JobFolder(job))
    elif data is None:
        raise UsageError("Give the folder with the labelled volumes: medsegtrainer train DATA -o JOB.")
    else:
        _create_and_run(JobFolder(job), _train_config(data, config, [*given, *(settings or [])]))
    if JobFolder(job).model.exists():
        apply_it = subprocess.list2cmdline(["medsegtrainer", "apply", str(job), "IMAGES", "-o", "OUT"])
        console.print(f"Model: {JobFolder(job).model}\nApply it to images: {apply_it}", highlight=False, markup=False)


@app.command("cross-validate")
def cross_validate(
    data: Annotated[Path | None, typer.Argument(help=DATA_HELP)] = None,
    job: NewJob = Path("cross-validation"),
    folds: Annotated[int | None, typer.Option(metavar="N", help="Number of equal parts.  [default: 5]")] = None,
    config: ConfigFile = None,
    model: Model = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Time for each fold.  [default: 20m]")] = None,
    epochs: Epochs = None,
    device: Device = "auto",
    split_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON list of folds, each with two lists 'train' and 'val'.")
    ] = None,
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the folds in the output folder.")] = False,
) -> None:
    """Say how good a model of these data is, and make an ensemble.

    Each part of the cases is held out once, in a training of its own in OUT/folds; the report is of all cases, each
    segmented by the model that did not see it. With up to four cases each is held out once, a single one is cut into
    halves. Apply the result, an ensemble of all folds, as any other model.
    """
    given = _given(
        type=model, budget=budget, epochs=epochs, device=device, folds=folds, split_file=split_file
    )  # fmt: skip
    if resume:
        if data is not None or config is not None or given or settings:
            raise UsageError("--resume goes on as the job began: give -o OUT alone.")
        _resume(JobFolder(job))
    elif data is None:
        raise UsageError("Give the folder with the labelled volumes: medsegtrainer cross-validate DATA -o OUT.")
    else:
        train_config = _train_config(data, config, [*given, *(settings or [])])
        _create_and_run(JobFolder(job), CrossValidateConfig(train=train_config))


@app.command()
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
    values = {"train": asdict(_train_config(data, config, settings or [])), "pictures": pictures}
    _create_and_run(JobFolder(job), parse_config(VerifyConfig, values))


@app.command()
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
    settings: Settings = None,
) -> None:
    """Show what training would do, and why, without doing it."""
    given = _given(
        type=model, budget=budget, epochs=epochs, device=device, fold=fold, folds=folds, val_split=val_split,
        split_file=split_file,
    )  # fmt: skip
    resolved = _train_config(data, config, [*given, *(settings or [])])

    from MedSegTrainerLib.console import JobView, class_table, plan_table  # torch takes seconds, --help must not
    from MedSegTrainerLib.train_job import explain, plan_training, scan_data

    view = JobView(error_console)

    def emit(event: Any) -> None:
        if not isinstance(event, Planned):  # the table below says it all
            view.show({"kind": KIND_OF[type(event)], "time": time.time(), **asdict(event)})

    with view.bar:
        scanned = scan_data(resolved, emit)
        chosen = plan_training(resolved, scanned, emit, time.time())
    console.print(f"\n{len(scanned.dataset.cases)} cases, layout {scanned.dataset.layout}\n", highlight=False)
    console.print(class_table(scanned.fingerprint), highlight=False)
    console.print()
    console.print(plan_table(explain(chosen)), highlight=False)


@app.command("find-lr")
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
    settings: Settings = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of training, each with a higher rate.")] = 200,
    lowest: Annotated[float, typer.Option(metavar="RATE", help="Learning rate to begin with.")] = 1e-7,
    highest: Annotated[float, typer.Option(metavar="RATE", help="Where to end, unless the loss explodes.")] = 1.0,
) -> None:
    """Find a good learning rate (range test).

    Trains some steps with rising rates and suggests the one at which the loss falls fastest; see the picture.
    Give the options of the training that it is for.
    """
    given = _given(
        type=model, budget=budget, epochs=epochs, device=device, fold=fold, folds=folds, val_split=val_split,
        split_file=split_file,
    ) + (settings or [])  # fmt: skip
    values = {"train": asdict(_train_config(data, config, given)), "steps": steps, "lowest": lowest, "highest": highest}
    _create_and_run(JobFolder(job), parse_config(FindRateConfig, values))
    for event in EventReader(JobFolder(job).events_file).read(limit=10**9):
        if event["kind"] == "rates":
            words = ["medsegtrainer", "train", str(data), *(["--config", str(config)] if config else [])]
            words += [w for setting in (*given, f"learning_rate={event['suggestion']:g}") for w in ("--set", setting)]
            console.print(f"Train with it: {subprocess.list2cmdline(words)}", highlight=False, markup=False)


@app.command()
def apply(
    model: Annotated[Path, typer.Argument(help="A model folder, its zip, or the job that trained it.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Images, or folders of images.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the label maps.")],
    more_models: Annotated[
        list[Path] | None,
        typer.Option("--model", metavar="MODEL", help="Average with this model too; may be repeated."),
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrorings: a little better, slower.")] = False,
    transforms: Annotated[
        list[str] | None,
        typer.Option(
            "--tta-transform",
            metavar="NAME",
            help="Average over this one: flip_x, flip_y, flip_z, rotate90, rotate180, rotate270; may be repeated.",
        ),
    ] = None,
    device: Device = "auto",
    output_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="TYPE", help="seg.nrrd (keeps names and colours), nii.gz, mha, npy, or png (2D)."
        ),
    ] = "seg.nrrd",
    overlap: Annotated[
        float,
        typer.Option(metavar="SHARE", help="How far neighbouring windows overlap, 0 to 0.9: more is slower, smoother."),
    ] = 0.5,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write how likely each class is at each voxel, a file a class.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write how unsure the result is, and how far mirrorings and models differ."),
    ] = False,
    no_postprocess: Annotated[
        bool, typer.Option("--no-postprocess", help="Without the clean-up that helped when the model was trained.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make label maps again that 'apply' made; without it the same are kept.")
    ] = False,
    largest_component: Annotated[
        bool, typer.Option("--largest-component", help="Keep the largest connected piece of each class only.")
    ] = False,
    fill_holes: Annotated[
        bool, typer.Option("--fill-holes", help="Fill background that is enclosed on all sides.")
    ] = False,
    minimum_size: Annotated[float, typer.Option(metavar="MM3", help="Remove pieces smaller than this, in mm3.")] = 0.0,
) -> None:
    """Segment images with a trained model.

    Each label map lies on exactly the grid of its image and is named after it.
    """
    for path in (model, *(more_models or []), *inputs):
        if not path.exists():
            raise UsageError(f"{path} does not exist. Check the path.")
    values = {
        "model": str(model.resolve()), "models": [str(path.resolve()) for path in more_models or []],
        "probabilities": probabilities, "uncertainty": uncertainty, "postprocess": not no_postprocess,
        "overwrite": overwrite, "tta_transforms": transforms or "auto",
        "inputs": [str(path.resolve()) for path in inputs],
        "output_dir": str(output.resolve()), "output_format": output_format,
        "tta": tta or bool(transforms), "device": device, "overlap": overlap, "largest_component": largest_component,
        "fill_holes": fill_holes, "minimum_size_mm3": minimum_size,
    }  # fmt: skip
    _create_and_run(JobFolder(output / "job"), parse_config(ApplyConfig, values))


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    labels: Annotated[
        Path, typer.Argument(help="Folder of reference label maps with the same names, or the data set.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for report and tables.")],
    tolerance: Annotated[
        float, typer.Option(metavar="MM", help="Distance that surface Dice still takes as right.")
    ] = 1.0,
    uncertainty: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Maps of how unsure the model was.  [default: PREDICTIONS/uncertainty]"),
    ] = None,
) -> None:
    """Compare label maps with references.

    Files of equal names are compared: Dice, distances in mm, a report with pictures, tables as CSV and JSON. Segments
    of .seg.nrrd files are matched by their names.
    """
    for path in (predictions, labels, *([uncertainty] if uncertainty else [])):
        if not path.exists():
            raise UsageError(f"{path} does not exist. Check the path.")
    values = {
        "predictions": str(predictions.resolve()),
        "labels": str(labels.resolve()),
        "output_dir": str(output.resolve()),
        "surface_tolerance_mm": tolerance,
        "uncertainty": str(uncertainty.resolve()) if uncertainty else "",
    }
    _create_and_run(JobFolder(output / "job"), parse_config(EvaluateConfig, values))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An evaluation (its folder or metrics.json), or a job.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same cases.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for report and tables.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Compare this number, such as dice; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the bootstrap: the same gives the same intervals.")] = 0,
) -> None:
    """Say whether B is better than A, case by case.

    Paired by case and class: Wilcoxon and t test, effect sizes, intervals of the mean difference, and which cases got
    better and worse; a report with plots, tables as CSV and JSON. Without --metric every number is compared.
    """
    from MedSegTrainerLib.compare import compare as compare_evaluations  # scipy takes a second, --help must not
    from MedSegTrainerLib.console import show_comparison

    show_comparison(compare_evaluations(first, second, output, metrics=metric or (), seed=seed), console)
    console.print(f"Report: {output / 'compare.html'}", highlight=False, markup=False)


@app.command()
def card(model: Annotated[Path, typer.Argument(help="A model folder, its zip, or the job that made it.")]) -> None:
    """Say what a model finds, in which images, how good it is and how it was made."""
    from MedSegTrainerLib.card import read_card

    console.print(read_card(model), highlight=False, markup=False)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model folder, its zip, or the job that made it; no ensemble.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="New file; monai-bundle: new folder.")],
    form: Annotated[
        str, typer.Option("--format", metavar="TYPE", help="onnx, torchscript, torch-export, or monai-bundle.")
    ] = "onnx",
) -> None:
    """Write a model as a file for other programs.

    The file is the network: prepared patches go in, logits come out. A MONAI bundle also prepares the images and
    writes the label maps, with MONAI alone. Each is compared with the original, and kept where they agree.
    """
    from MedSegTrainerLib.export import TOLERANCE
    from MedSegTrainerLib.export import export as export_model

    made = export_model(model, output, form)
    sizes = "any size that is a multiple of the model's divisor" if made.is_dynamic else "patches of one size"
    told = (
        f"{made.path} takes {sizes}. Largest difference of a logit: {made.difference:.1g} ({TOLERANCE:g} is allowed)."
    )
    console.print(told, highlight=False, markup=False)


@app.command()
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
    from MedSegTrainerLib.fragments import read_object
    from MedSegTrainerLib.workflow import read_workflow
    from MedSegTrainerLib.workflow_jobs import jobs_of, run_jobs

    asked = read_workflow(read_object(document, "'nodes'"), document.resolve().parent, settings or [], data)
    jobs = jobs_of(asked, job)
    if validate:
        told = "\n".join(f"{number}. {step.told}" for number, step in enumerate(jobs.steps, start=1))
        console.print(f"{asked.title}: the document is right. It would\n{told}", highlight=False, markup=False)
    elif run_jobs(jobs, _run):
        for name, path in jobs.results:
            console.print(f"{name}: {path}", highlight=False, markup=False)
    else:
        console.print("Stopped; what was to come after was not run.", highlight=False)


@app.command()
def status(job: Job) -> None:
    """Say how far a job is."""
    folder = JobFolder(job)
    folder.read_document()
    now = folder.status()
    alive, state = now.is_alive(), now.state
    if state == "created":
        state = "created, but nobody has started it: medsegtrainer run " + str(job)
    elif state in ACTIVE_STATES and not alive:
        again = "train --resume -o" if now.kind == "train" else "run"
        state = f"dead: its process is gone. Go on with it: medsegtrainer {again} {job}"
    told = {
        "state": state,
        "where": f"process {now.pid} on {now.host}" if alive else "",
        "epoch": f"{now.epoch} of {now.epochs}" if now.epochs else "",
        "progress": f"{now.progress:.0%}",
        "time left": format_duration(now.eta_seconds) if alive and now.eta_seconds is not None else "",
        "best Dice": f"{now.best:.4f}" if now.best is not None else "",
        "message": now.message,
    }
    for name, value in told.items():
        if value:
            console.print(f"{name:<10} {value}", highlight=False, markup=False)


@app.command()
def stop(
    job: Job,
    now: Annotated[bool, typer.Option("--now", help="At once, without validating the latest weights first.")] = False,
) -> None:
    """Ask a running job to stop and keep the best model."""
    folder = JobFolder(job)
    folder.read_document()
    if not folder.status().is_alive():
        raise JobError(f"Nothing to stop: no process works on {job} (state: {folder.status().state}).")
    folder.request_stop(STOP_NOW if now else STOP_KEEP_BEST)
    console.print("Asked the job to stop." if now else "Asked the job to stop and keep the best model.")


@app.command()
def run(
    job: Job,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing; whoever started this reads the folder.")] = False,
) -> None:
    """Do what a job folder says, here and now.

    For schedulers and other programs; train, apply and evaluate write such a folder and then do this.
    """
    from MedSegTrainerLib.run import run_job

    outcome = run_job(job, STARTED)
    if not quiet:
        console.print(outcome.message, highlight=False, markup=False)


@app.command("self-test")
def self_test(
    device: Device = "auto",
    report: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was seen there.")] = None,
) -> None:
    """Check that this computer can train.

    Runs one step of a small training on the device and says what it saw; the exit code is 1 where that fails.
    """
    from MedSegTrainerLib.self_test import run_self_test

    result = run_self_test(device)
    if report is not None:
        atomic.write_json(report, asdict(result))
    for words in (*result.warnings, result.message):
        console.print(words, highlight=False, markup=False)
    if not result.ok:
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        console.print(__version__, highlight=False)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: 0 done, 1 the work failed, 2 the request was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=arguments, standalone_mode=True)
        sys.exit(0)
    except MedSegError as error:
        _say_error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that may not be read, a drive that is gone
        _say_error(system_words(error))
        sys.exit(1)


def _say_error(message: str) -> None:
    error_console.print(message, style="red", highlight=False, markup=False)


def _create_and_run(folder: JobFolder, config: JobConfig) -> None:
    """``train``, ``apply`` and ``evaluate`` are only this: write a job folder, run it, show its events."""
    folder.create(config)
    _run(folder)


def _resume(folder: JobFolder) -> None:
    if not isinstance(parse_job(folder.read_document()), (TrainConfig, CrossValidateConfig)):
        raise UsageError(
            f"{folder.path} is no training job. Only 'train' and 'cross-validate' can be resumed; "
            "start the others again."
        )
    if folder.status().is_alive():
        raise JobError(f"{folder.path} is still running: medsegtrainer status {folder.path}")
    _run(folder)


def _run(folder: JobFolder) -> None:
    from MedSegTrainerLib.console import watch

    watch(folder, folder.start(), console)


def _given(**options: Any) -> list[str]:
    """Options that were given, as assignments to the settings of the same name."""
    if options["budget"] is not None and options["epochs"] is not None:
        raise UsageError("--budget and --epochs are two ways to say how long to train. Give one of them.")
    sections = {"budget": "trainer", "epochs": "trainer", "device": "trainer", "type": "network"}
    present = {
        name: value for name, value in options.items() if value is not None and (name, value) != ("device", "auto")
    }
    return [f"{sections.get(name, 'data')}.{name}={value}" for name, value in present.items()]


def _train_config(data: Path, config: Path | None, assignments: list[str]) -> TrainConfig:
    """Settings from the file, then from the options; raises UsageError or ConfigError with all problems."""
    from MedSegTrainerLib.fragments import train_config

    return train_config(data, config, assignments)
