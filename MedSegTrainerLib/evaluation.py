"""Comparing predicted label maps with references: ``metrics.json``, ``metrics.csv`` and ``report.html``."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.config import EvaluateConfig
from MedSegTrainerLib.data.images import read_file
from MedSegTrainerLib.data.label_maps import labelled_parts, read_classes, read_label_pair
from MedSegTrainerLib.errors import ConfigError, DataError
from MedSegTrainerLib.events import Emit, Measured, Progress, Stage, Warned
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.metrics import (
    METRICS,
    TOLERANCE_MM,
    Values,
    mean_dice,
    measure,
    metric_key,
    outcome,
    summarize,
)
from MedSegTrainerLib.pairing import Pair, listed_pairs, pair_folders

SCHEMA_VERSION = 1
FILE_SIDES = ("prediction", "reference", "image")
NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What of the results is written. metrics: keys of ``METRICS``. pictures: folder for a PNG of each case."""

    metrics: tuple[str, ...] = tuple(METRICS)
    per_case: bool = True
    pictures: Path | None = None
    opacity: float = 0.45


EVERYTHING = Shown()


def evaluate(
    pairs: Sequence[Pair],
    classes: Sequence[LabelClass] | None,
    output_dir: Path,
    emit: Emit,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    advice: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    shown: Shown = EVERYTHING,
    ignore_label: int | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[str, Any]:
    """Measures every pair and writes ``metrics.json``, ``metrics.csv`` and ``report.html`` into ``output_dir``.

    classes: None takes the names from the files' ``Segment*`` fields and calls every other value
    ``label N``. shown: what of it is written. facts: how the predictions were made, shown as a table.
    curves: one a validation, with ``minutes``, ``epoch``, ``mean_dice``, ``dice`` (class to value) and
    ``train_loss``. advice: what they say, each as ``Advice.to_json`` gives it. notes: sentences the reader
    should know. ignore_label: voxels of this value in a reference are taken as background on both sides
    and counted nowhere. tolerance_mm: of surface Dice.
    Returns the document of ``metrics.json``. Raises DataError for unreadable files and for a
    prediction and a reference on different grids, StorageError where nothing can be written.
    """
    pairs = list(pairs)
    warnings = _Notes(emit, notes)
    emit(Stage(name="evaluate", message=f"Comparing predictions with references ({len(pairs)})", total=len(pairs)))
    measured, named = _measure_all(pairs, classes, ignore_label, tolerance_mm, emit, warnings)
    chosen = _distinct(list(classes) if classes is not None else _classes_of(measured, named))
    cases = {name: {item.name: values[item.value] for item in chosen} for name, values in measured.items()}
    summary = summarize(cases)
    document = {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "created": time.strftime("%Y-%m-%d %H:%M"),
        "facts": dict(facts or {}),
        "ignore_label": ignore_label,
        "surface_tolerance_mm": tolerance_mm,
        "notes": warnings.messages,
        "metrics": list(shown.metrics),
        "per_case": shown.per_case,
        "classes": [{**asdict(item), "color": list(item.color)} for item in chosen],
        "overall": _overall(cases, summary),
        "summary": summary,
        "cases": cases,
        "files": {pair.name: {side: _text(getattr(pair, side)) for side in FILE_SIDES} for pair in pairs},
        "curves": [dict(point) for point in curves or []],
        "advice": [dict(advice) for advice in advice],
    }
    written = _restricted(document, shown)
    report = _write(document, written, chosen, shown, output_dir)
    emit(Measured(cases=len(cases), metrics=_means(written["summary"]), report=str(report)))
    return written


def _write(
    document: dict[str, Any], written: dict[str, Any], classes: Sequence[LabelClass], shown: Shown, output_dir: Path
) -> Path:
    """The files of an evaluation; returns the report's path."""
    from MedSegTrainerLib.report.html import write_report  # matplotlib: a second that only evaluation should pay

    with atomic.storage_errors(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
    atomic.write_json(output_dir / "metrics.json", written)
    if shown.per_case:
        atomic.write_bytes(output_dir / "metrics.csv", _table(document["cases"], shown.metrics).encode())
    report = output_dir / "report.html"
    write_report(document, report)
    if shown.pictures is not None:
        _write_pictures(document, classes, shown.pictures, shown.opacity)
    return report


def run_evaluate(config: EvaluateConfig, emit: Emit) -> str:
    """The whole job of kind ``evaluate``; returns the path of the report."""
    needed = ("predictions", "output_dir") if config.references else ("predictions", "labels", "output_dir")
    missing = [name for name in needed if not getattr(config, name)]
    if missing:
        raise ConfigError(f"{name}: a folder is needed, and none was given" for name in missing)
    heard: list[str] = []

    def listen(event: Any) -> None:
        heard.append(event.message)
        emit(event)

    shown = Shown(
        metrics=tuple(dict.fromkeys(metric_key(name) for name in config.metrics)) or tuple(METRICS),
        per_case=config.per_case,
        pictures=Path(config.pictures_dir) if config.pictures_dir else None,
        opacity=config.overlay_alpha,
    )
    predictions, labels = Path(config.predictions), Path(config.labels)
    pairs = listed_pairs(config) if config.references else pair_folders(predictions, labels, listen)
    output_dir = Path(config.output_dir)
    facts = {"Predictions": config.predictions, "References": config.labels or "those of the data set"}
    classes = ignored = None
    if config.model:
        from MedSegTrainerLib.package import load_package  # torch, which an evaluation of files must not wait for

        plan = load_package(Path(config.model)).plan
        classes, ignored = plan.classes, plan.ignore_label
        facts["Model"] = config.model
    evaluate(
        pairs, classes, output_dir, emit,
        title="Segmentation evaluation", facts=facts, notes=heard, shown=shown, ignore_label=ignored,
        tolerance_mm=config.surface_tolerance_mm,
    )  # fmt: skip
    return str(output_dir / "report.html")


class _Notes:
    """Warnings that are told at once and kept for the report; each is told only once."""

    def __init__(self, emit: Emit, known: Sequence[str]) -> None:
        self.messages = list(known)
        self._emit = emit

    def add(self, message: str) -> None:
        if message not in self.messages:
            self.messages.append(message)
            self._emit(Warned(message=message))


def _measure_all(
    pairs: Sequence[Pair],
    classes: Sequence[LabelClass] | None,
    ignored: int | None,
    tolerance_mm: float,
    emit: Emit,
    notes: _Notes,
) -> tuple[dict[str, dict[int, Values]], dict[int, LabelClass]]:
    """Case to value to numbers, and what the predictions' files say about the values."""
    measured: dict[str, dict[int, Values]] = {}
    named: dict[int, LabelClass] = {}
    unknown: dict[int, str] = {}
    began = time.monotonic()
    for done, pair in enumerate(pairs, start=1):
        prediction, reference = _read_pair(pair, {item.name: item.value for item in classes or ()})
        expected = sitk.GetArrayFromImage(reference)
        sides = labelled_parts(sitk.GetArrayFromImage(prediction), expected, ignored)
        voxels = expected.size if ignored is None else int(np.count_nonzero(expected != ignored))
        occurring = {int(value) for side in sides for value in np.unique(side[side != 0])}
        if classes is None:
            _collect_names(pair, named, notes)
            values = sorted(occurring)
        else:
            values = [item.value for item in classes]
            unknown |= dict.fromkeys(occurring - set(values), pair.name)
        spacing = Geometry.of(reference).spacing_zyx
        measured[pair.name] = measure(*sides, values, spacing, voxels=voxels, tolerance_mm=tolerance_mm)
        eta = (time.monotonic() - began) / done * (len(pairs) - done)
        emit(Progress(done=done, total=len(pairs), eta_seconds=eta))
    if unknown:
        listed = ", ".join(f"{value} (in {case})" for value, case in sorted(unknown.items())[:NAMES_SHOWN])
        notes.add(f"Label values that belong to no class were taken as background: {listed}.")
    return _completed(measured, named), named


def _read_pair(pair: Pair, segment_values: Mapping[str, int]) -> tuple[sitk.Image, sitk.Image]:
    prediction, reference = read_label_pair(pair.prediction, pair.reference, segment_values)
    grids = Geometry.of(prediction), Geometry.of(reference)
    differences = grids[0].disagreements(grids[1])
    if differences:
        raise DataError(
            f"{pair.name}: prediction and reference lie on different grids: {'; '.join(differences)}.\n"
            f"  {pair.prediction}: {grids[0]}\n  {pair.reference}: {grids[1]}\n"
            "Resample one onto the other (nearest neighbour), or check that they are of the same case."
        )
    return prediction, reference


def _collect_names(pair: Pair, named: dict[int, LabelClass], notes: _Notes) -> None:
    """Adds the classes that the files name, the prediction's first; a value under two names gets a note."""
    for path in (pair.prediction, pair.reference):
        if not path.name.lower().endswith(".nrrd"):
            continue
        for item in read_classes(read_file(path)):
            known = named.setdefault(item.value, item)
            if known.name.casefold() != item.name.casefold():
                notes.add(
                    f"Label {item.value} is called '{known.name}' in one file and '{item.name}' in {path.name}. "
                    "Labels are compared by value: check that both mean the same structure."
                )


def _completed(measured: dict[str, dict[int, Values]], named: Mapping[int, LabelClass]) -> dict[str, dict[int, Values]]:
    """Every value in every case: a class that a case lacks is absent there, not unknown."""
    values = sorted({value for case in measured.values() for value in case} | set(named))
    absent: Values = dict.fromkeys(METRICS)
    return {name: {value: case.get(value, absent) for value in values} for name, case in measured.items()}


def _classes_of(measured: Mapping[str, Mapping[int, Values]], named: Mapping[int, LabelClass]) -> list[LabelClass]:
    values = sorted({value for case in measured.values() for value in case})
    return [
        named.get(value) or LabelClass(value=value, name=f"label {value}", color=default_color(index))
        for index, value in enumerate(values)
    ]


def _distinct(classes: list[LabelClass]) -> list[LabelClass]:
    """The same classes under names that differ: results are kept by name."""
    names = [item.name for item in classes]
    return [
        replace(item, name=f"{item.name} (label {item.value})") if names.count(item.name) > 1 else item
        for item in classes
    ]


# --- What is written ---


def _overall(cases: Mapping[str, Mapping[str, Values]], summary: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    """``mean_dice`` is the mean over the classes of each class's mean over the cases."""
    outcomes = [outcome(values) for case in cases.values() for values in case.values()]
    by_class = [item["dice"]["mean"] for item in summary.values() if item["dice"]["mean"] is not None]
    return {
        "mean_dice": float(np.mean(by_class)) if by_class else None,
        "case_mean_dice": {name: mean_dice(values) for name, values in cases.items()},
        **{kind: outcomes.count(kind) for kind in ("found", "missed", "extra", "absent")},
    }


def _restricted(document: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    """The document with those metrics alone that are asked for, without the cases where they are not."""
    summary = {name: {key: item[key] for key in shown.metrics} for name, item in document["summary"].items()}
    cases = {
        case: {name: {key: values[key] for key in shown.metrics} for name, values in by_class.items()}
        for case, by_class in document["cases"].items()
    }
    hidden = set() if shown.per_case else {"cases"}
    return {key: value for key, value in {**document, "summary": summary, "cases": cases}.items() if key not in hidden}


def _write_pictures(document: Mapping[str, Any], classes: Sequence[LabelClass], folder: Path, opacity: float) -> None:
    from MedSegTrainerLib.report.pictures import draw_case, read_case

    for name, files in document["files"].items():
        value_of = {item.name: item.value for item in classes}
        case = read_case(files, list(value_of.values()), document["ignore_label"], value_of)
        with atomic.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(folder / f"{name}.png", draw_case(case, classes, opacity))


def _table(cases: Mapping[str, Mapping[str, Values]], metrics: Sequence[str]) -> str:
    """CSV with a row for each case and class; an empty cell is a number that is not defined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "class", "outcome", *metrics])
    for case, by_class in cases.items():
        for name, values in by_class.items():
            writer.writerow([case, name, outcome(values), *(values[metric] for metric in metrics)])
    return text.getvalue()


def _means(summary: Mapping[str, Mapping[str, Values]]) -> dict[str, dict[str, float | None]]:
    return {name: {metric: item["mean"] for metric, item in metrics.items()} for name, metrics in summary.items()}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
