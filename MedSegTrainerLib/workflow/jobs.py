"""A workflow as job folders, run one after the other: train, then apply to cases of the loader, then evaluate."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from MedSegTrainerLib.config.job_settings import ApplyConfig, EvaluateConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import DataConfig, JobConfig
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import split_dataset
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.workflow.document import Workflow
from MedSegTrainerLib.workflow.nodes import MetricsConfig, PredictorConfig, VisualizerConfig


@dataclass(frozen=True, kw_only=True)
class Step:
    """One job of a workflow; ``description``: what it does."""

    folder: JobFolder
    config: JobConfig
    description: str


@dataclass(frozen=True, kw_only=True)
class WorkflowJobs:
    """discard: label maps that nobody wants to keep. results: what to look at, each with its name."""

    steps: tuple[Step, ...]
    results: tuple[tuple[str, Path], ...]
    discard: Path | None = None


def jobs_of(workflow: Workflow, output: Path) -> WorkflowJobs:
    """The jobs of a workflow.

    One that only trains is a training job in ``output``, as the command 'train' makes it; else the folders
    ``train``, ``apply`` and ``evaluate`` in ``output`` are the jobs. Raises MedSegError where the data have no
    cases to predict.
    """
    train_folder = JobFolder(output if workflow.predictor is None else output / "train")
    training = (
        []
        if workflow.train is None
        else [Step(folder=train_folder, config=workflow.train, description=f"train on {workflow.data.data_dir}")]
    )
    if workflow.predictor is None:
        return WorkflowJobs(steps=tuple(training), results=(("Model", train_folder.model),))
    dataset = find_cases(Path(workflow.data.data_dir), workflow.data)
    cases, which = cases_of(dataset, workflow.data, workflow.part)
    output, predictor = output.resolve(), workflow.predictor
    predictions = _inside(output, predictor.output_dir if predictor.save_predictions else "apply/label maps")
    model = str(output / "train") if training else predictor.model or predictor.checkpoint
    apply = Step(
        folder=JobFolder(output / "apply"),
        config=_apply_config(predictor, model, cases, predictions),
        description=f"apply {model} to {which}",
    )
    steps, results = [*training, apply], [("Label maps", predictions)] if predictor.save_predictions else []
    if workflow.metrics is not None or workflow.visualizer is not None:
        config = _evaluate_config(workflow, model, cases, predictions, output)
        description = f"measure {', '.join(config.metrics) or 'everything'}"
        description += f", draw pictures into {config.pictures_dir}" if config.pictures_dir else ""
        steps.append(Step(folder=JobFolder(output / "evaluate"), config=config, description=description))
        results.append(("Report", Path(config.output_dir) / "report.html"))
        results += [("Pictures", Path(config.pictures_dir))] if config.pictures_dir else []
    discard = None if predictor.save_predictions else predictions
    return WorkflowJobs(steps=tuple(steps), results=tuple(results), discard=discard)


def run_jobs(jobs: WorkflowJobs, run: Callable[[JobFolder], object]) -> bool:
    """Creates and runs one job after the other; False where one was stopped, and the rest was not run."""
    for step in jobs.steps:
        step.folder.create(step.config)
        run(step.folder)
        if step.folder.status().state != "finished":
            return False
    if jobs.discard is not None:
        shutil.rmtree(jobs.discard)
    return True


def cases_of(dataset: Dataset, data: DataConfig, part: str) -> tuple[list[Case], str]:
    """The cases that an output of the loader gives, and a description of them.

    With a ``test_split`` of 1 every case is a test case; where none are kept aside, those are that a training
    with the same settings would validate on. Raises UsageError where there are none at all.
    """
    names = [case.name for case in dataset.cases]
    if part == "test_loader" and data.test_split == 1:
        return list(dataset.cases), f"all {len(names)} cases of {dataset.root}"
    split = split_dataset(dataset, data)
    kept = {"train_loader": (split.train, "training"), "val_loader": (split.val, "validation")}
    test = (split.test, "test") if split.test else kept["val_loader"]
    chosen, kind = {**kept, "test_loader": test}[part]
    if not chosen:
        raise UsageError(
            f"No cases of {dataset.root} are left to predict ({split.reason}). "
            "Set the loader's test_split to 1 to take all of them."
        )
    by_name = {case.name: case for case in dataset.cases}
    return [by_name[name] for name in chosen], f"the {len(chosen)} {kind} cases of {dataset.root}"


def _inside(output: Path, folder: str) -> Path:
    """A folder in the output folder; raises UsageError where links lead out of it."""
    path = output / folder
    if not path.resolve().is_relative_to(output):
        raise UsageError(
            f"{path} leads to {path.resolve()}, outside of {output}. Remove the link, or choose another -o."
        )
    return path


def _apply_config(predictor: PredictorConfig, model: str, cases: Sequence[Case], output: Path) -> ApplyConfig:
    values = {
        "model": model,
        "cases": {case.name: [str(path.resolve()) for path in case.images] for case in cases},
        "output_dir": str(output),
        "output_format": predictor.output_format,
        "tta": predictor.apply_tta,
        "tta_transforms": predictor.tta_transforms,
        "overlap": predictor.overlap,
        "device": predictor.device,
    }
    config: ApplyConfig = parse_config(ApplyConfig, values)
    return config


def _evaluate_config(
    workflow: Workflow, model: str, cases: Sequence[Case], predictions: Path, output: Path
) -> EvaluateConfig:
    metrics, visualizer = workflow.metrics or MetricsConfig(), workflow.visualizer
    values = {
        "predictions": str(predictions),
        "references": {case.name: str(case.label.resolve()) for case in cases},
        "images": {case.name: str(case.images[0].resolve()) for case in cases},
        "masks": {
            case.name: {name: str(path.resolve()) for name, path in case.masks.items()} for case in cases if case.masks
        },
        "ignore_label": next((case.ignored_value for case in cases if case.ignored_value is not None), None),
        "drawn": {case.name: list(case.drawn) for case in cases if case.drawn is not None},
        "labelled": {case.name: case.labelled_slices for case in cases if case.labelled_slices},
        "labelled_boxes": {case.name: case.labelled_box for case in cases if case.labelled_box},
        "model": model,
        "output_dir": str(output / "report"),
        "metrics": metrics.metrics,
        "surface_tolerance_mm": metrics.surface_tolerance_mm,
        "per_case": metrics.per_case,
        "pictures_dir": str(_inside(output, visualizer.output_dir)) if visualizer else "",
        "overlay_alpha": (visualizer or VisualizerConfig()).overlay_alpha,
    }
    config: EvaluateConfig = parse_config(EvaluateConfig, values)
    return config
