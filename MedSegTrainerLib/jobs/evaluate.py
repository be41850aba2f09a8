"""A job of kind ``evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.evaluation.bids_pairs import bids_pairs
from MedSegTrainerLib.evaluation.described_labels import described_ignored, described_names
from MedSegTrainerLib.evaluation.drawn_references import (
    Drawn,
    drawn_beside,
    drawn_in_file,
    with_drawn,
)
from MedSegTrainerLib.evaluation.evaluate import OutputSelection, evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair, listed_pairs, pair_folders, with_uncertainty
from MedSegTrainerLib.evaluation.labelled_references import with_labelled_parts
from MedSegTrainerLib.evaluation.masked_references import masked_pairs, with_masks
from MedSegTrainerLib.evaluation.overlapping_pairs import with_forms
from MedSegTrainerLib.evaluation.segment_names import named_classes
from MedSegTrainerLib.evaluation.told_results import told_beside
from MedSegTrainerLib.events import Emit
from MedSegTrainerLib.job import Outcome
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.metrics.metrics import METRICS, metric_key


def run_evaluate(config: EvaluateConfig, context: JobContext) -> Outcome:
    """The whole job of kind ``evaluate``."""
    context.owner.update(state="running", stage="evaluate")
    report = evaluate_files(config, context.emit)
    return Outcome(message=f"Report: {report}", result=report)


def evaluate_files(config: EvaluateConfig, emit: Emit) -> str:
    """Pairs the files, measures them and writes the report, whose path it returns; raises MedSegError."""
    needed = ("predictions", "output_dir") if config.references else ("predictions", "labels", "output_dir")
    missing = [name for name in needed if not getattr(config, name)]
    if missing:
        raise ConfigError(f"{name}: a folder is needed, and none was given" for name in missing)
    notes: list[str] = []

    def listen(event: Any) -> None:
        notes.append(event.message)
        emit(event)

    selected = OutputSelection(
        metrics=tuple(dict.fromkeys(metric_key(name) for name in config.metrics)) or tuple(METRICS),
        per_case=config.per_case,
        pictures=Path(config.pictures_dir) if config.pictures_dir else None,
        opacity=config.overlay_alpha,
    )
    predictions, labels = Path(config.predictions), Path(config.labels)
    if config.references:
        pairs = with_masks(listed_pairs(config), config.masks)
    else:
        finders = (bids_pairs, masked_pairs, pair_folders)
        pairs = next(filter(None, (find(predictions, labels, listen) for find in finders)))
    pairs = with_labelled_parts(with_forms(pairs), config)
    pairs = with_uncertainty(pairs, predictions, config.uncertainty, listen)
    told = told_beside(predictions, pairs, listen)
    output_dir = Path(config.output_dir)
    facts = {"Predictions": config.predictions, "References": config.labels or "those of the data set"}
    ignored = config.ignore_label
    if ignored is None and config.labels:
        ignored = described_ignored(labels, listen)
    plan = _plan_of_model(config.model) if config.model else None
    classes, overlapping = (plan.classes, plan.overlapping) if plan is not None else (None, False)
    if plan is not None:
        facts["Model"] = config.model
        if ignored is None and not overlapping:  # else it is that of labels in memory
            ignored = plan.ignore_label
    drawn = _drawn(config, pairs)
    names = described_names(labels) if drawn and config.labels else {}
    if drawn:
        known = named_classes(pairs)[0] if classes is None else classes
        pairs = with_drawn(pairs, drawn, {*(item.name for item in known), *names.values()})
    evaluate(
        pairs,
        classes,
        output_dir,
        emit,
        title="Segmentation evaluation",
        facts=facts,
        notes=notes,
        selection=selected,
        ignore_label=ignored,
        tolerance_mm=config.surface_tolerance_mm,
        overlapping=overlapping,
        label_names=names,
        likely=lambda results: told,
    )
    return str(output_dir / "report.html")


def _plan_of_model(path: str) -> Plan:
    from MedSegTrainerLib.model.package import load_members  # torch, which an evaluation of files must not wait for

    return load_members(Path(path))[0].plan


def _drawn(config: EvaluateConfig, pairs: Sequence[Pair]) -> Drawn:
    """Which classes somebody looked for in which case, {} where all were in all."""
    if config.drawn_file:
        return drawn_in_file(Path(config.drawn_file), pairs)
    if config.drawn or not config.labels:
        return {case: tuple(names) for case, names in config.drawn.items()}
    return drawn_beside(Path(config.labels))
