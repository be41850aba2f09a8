"""Training, applying and evaluating from Python, in the calling process.

    from MedSegTrainerLib.api import apply, evaluate, train

    model = train("data", "job", budget="20m", fold=0)
    files = apply("job", ["new_patient.nii.gz"], "segmentations", tta=True)
    metrics = evaluate("segmentations", "references", "report")

Settings are the fields of ``config/settings.py``, by their names, with numbers, lists, paths or text as values; a
section such as ``loss={"loss_type": "dice"}`` stands for its fields. Each call leaves a job folder, as the command
line does; ``JobFolder(...).start()`` runs one in a process of its own instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from MedSegTrainerLib.config.job_settings import ApplyConfig, CrossValidateConfig, EvaluateConfig, SuggestConfig
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import JobConfig, TrainConfig
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.evaluation.compare import compare as compare_evaluations
from MedSegTrainerLib.events import EventReader, log_event
from MedSegTrainerLib.export.dataset_formats import export_data as export_dataset
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.jobs.suggestions import FILE as SUGGESTIONS
from MedSegTrainerLib.model.import_model import import_model as import_other_model
from MedSegTrainerLib.model.package import ModelPackage, load_members, load_package
from MedSegTrainerLib.results_file import CaseResult, read_results
from MedSegTrainerLib.workflow.document import read_workflow
from MedSegTrainerLib.workflow.jobs import jobs_of, run_jobs
from MedSegTrainerLib.workflow.settings_files import read_object

AnyPath = str | PathLike[str]


def train(
    data: AnyPath,
    job: AnyPath,
    *,
    start_from: AnyPath | None = None,
    rename: Sequence[str] = (),
    adapt: bool = False,
    **settings: Any,
) -> ModelPackage:
    """Trains on a labelled folder and returns the best model.

    ``settings`` such as ``budget="20m"``, ``epochs=100`` or ``learning_rate=1e-3``. start_from: a trained model to
    begin as, a job, a model folder or its zip; rename: its classes under their new names, as "old=new"; adapt: go on
    with what can be kept where it does not fit the data. Raises MedSegError.
    """
    start: dict[str, Any] = {"model": _absolute(start_from)} if start_from is not None else {}
    start |= {"rename": list(rename)} if rename else {}
    start |= {"adapt": True} if adapt else {}
    _run(Path(job), parse_config(TrainConfig, _training(data, {**settings, **({"start": start} if start else {})})))
    return load_package(Path(job))


def cross_validate(data: AnyPath, output: AnyPath, *, devices: int | str = 1, **settings: Any) -> list[ModelPackage]:
    """Trains on each fold of a labelled folder and returns the models of the ensemble; ``folds=5`` and the settings of
    ``train``, of which the budget is that of a fold. Runs the folds in processes of their own, ``devices`` at the same
    time (``"auto"``: as many as there are GPUs). Raises MedSegError."""
    values = {"train": _training(data, settings), "devices": devices}
    _run(Path(output), parse_config(CrossValidateConfig, values))
    return load_members(Path(output))


def resume(job: AnyPath) -> ModelPackage:
    """Goes on with a training that ended early, exactly where its last checkpoint is."""
    run_job(Path(job))
    return load_package(Path(job))


def apply(model: AnyPath, inputs: Sequence[AnyPath], output: AnyPath, **settings: Any) -> list[Path]:
    """Segments images (files or folders of them) and returns the label map files."""
    paths = {"model": _absolute(model), "inputs": [_absolute(path) for path in inputs], "output_dir": _absolute(output)}
    config: ApplyConfig = parse_config(ApplyConfig, {**paths, **settings})
    _run(Path(output) / "job", config)
    events = EventReader(JobFolder(Path(output) / "job").events_file).read()
    return [Path(event["output"]) for event in events if event["kind"] == "case" and event["output"]]


def suggest(model: AnyPath, inputs: Sequence[AnyPath], output: AnyPath, **settings: Any) -> dict[str, Any]:
    """Says which slices of images (files or folders of them) to draw next and returns what ``suggestions.json`` holds;
    a page with pictures, predictions and uncertainty lie beside it. Settings: those of ``SuggestConfig``."""
    paths = {"model": _absolute(model), "inputs": [_absolute(path) for path in inputs], "output_dir": _absolute(output)}
    _run(Path(output) / "job", parse_config(SuggestConfig, {**paths, **settings}))
    document: dict[str, Any] = read_json_file(Path(output) / SUGGESTIONS)
    return document


def import_model(model: AnyPath, output: AnyPath) -> list[ModelPackage]:
    """Makes a model of nnU-Net (a folder or zip) or of MONAI's Auto3DSeg (``model.pt``) one of this program in a new
    folder, and returns its members. Raises MedSegError."""
    return list(import_other_model(Path(model), Path(output)))


def results(output: AnyPath) -> list[CaseResult]:
    """What ``apply`` said of the images whose label maps are in ``output``, worst first: the likely Dice with its 90 %
    interval, of the image and of each class, with volumes, warnings and errors. Raises UsageError."""
    return read_results(Path(output))


def evaluate(predictions: AnyPath, labels: AnyPath, output: AnyPath, **settings: Any) -> dict[str, Any]:
    """Compares two folders of label maps and returns what ``metrics.json`` holds; the report lies beside it."""
    paths = {"predictions": _absolute(predictions), "labels": _absolute(labels), "output_dir": _absolute(output)}
    _run(Path(output) / "job", parse_config(EvaluateConfig, {**paths, **settings}))
    document: dict[str, Any] = read_json_file(Path(output) / "metrics.json")
    return document


def compare(first: AnyPath, second: AnyPath, output: AnyPath, **settings: Any) -> dict[str, Any]:
    """Compares evaluation B (``second``) with A and returns what ``compare.json`` holds; the report lies beside it.

    Each is a ``metrics.json``, its folder, or a job with a report. Settings: ``metrics`` (names), ``seed``.
    """
    return compare_evaluations(Path(first), Path(second), Path(output), **settings)


def export_data(data: AnyPath, output: AnyPath, form: str = "nnunet", **settings: Any) -> list[str]:
    """Writes a labelled folder as a data set for other programs (``form``: those of ``export-data``) and returns
    sentences about what it wrote; ``settings`` as those of ``train``, such as ``folds=5``. Raises MedSegError."""
    config: TrainConfig = parse_config(TrainConfig, _training(data, settings))
    return export_dataset(Path(data), Path(output), form, config.data, log_event)


def workflow(document: AnyPath, output: AnyPath, data: AnyPath | None = None, **settings: Any) -> dict[str, Path]:
    """Does what a workflow document (a file) says and returns what it made: Model, Label maps, Report, Pictures.

    ``data`` replaces the loader's ``data_dir``. Raises MedSegError.
    """
    path = Path(document)
    chosen = list(settings.items())
    parsed = read_workflow(
        read_object(path, "'nodes'"), path.resolve().parent, chosen, None if data is None else Path(data)
    )
    jobs = jobs_of(parsed, Path(output))
    run_jobs(jobs, lambda folder: run_job(folder.path))
    return dict(jobs.results)


def _training(data: AnyPath, settings: Mapping[str, Any]) -> dict[str, Any]:
    values = with_settings({}, settings.items())
    if "data_dir" in values.setdefault("data", {}):
        raise UsageError(f"data_dir: the folder with the data is {data} already. Leave one of them out.")
    values["data"]["data_dir"] = _absolute(data)
    if isinstance(values["data"].get("cache_dir"), str) and values["data"]["cache_dir"]:
        values["data"]["cache_dir"] = _absolute(values["data"]["cache_dir"])
    return values


def _run(folder: Path, config: JobConfig) -> None:
    run_job(folder, expect=JobFolder(folder).create(config))


def _absolute(path: AnyPath) -> str:
    return str(Path(path).resolve())
