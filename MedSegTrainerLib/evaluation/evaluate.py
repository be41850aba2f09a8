"""Comparing predicted label maps with references: ``metrics.json``, two tables as CSV and ``report.html``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.evaluation.csv_tables import case_table, summary_table
from MedSegTrainerLib.evaluation.cut_structures import cut_notes
from MedSegTrainerLib.evaluation.drawn_references import drawn_notes, unknown_values
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.evaluation.label_values import EvaluatedValues
from MedSegTrainerLib.evaluation.overlapping_pairs import compared_classes, forms_json, read_sides, unlabelled_value
from MedSegTrainerLib.evaluation.segment_names import named_classes
from MedSegTrainerLib.events import Emit, Measured, Progress, Stage, Warned
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_grid import place_on_grid
from MedSegTrainerLib.imaging.label_maps import labelled_parts
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.metrics.calibration import UncertaintyError
from MedSegTrainerLib.metrics.confusion import Confusion
from MedSegTrainerLib.metrics.known_voxels import without_unknown
from MedSegTrainerLib.metrics.metrics import METRICS, TOLERANCE_MM, Values, mean_dice, measure, outcome, summarize
from MedSegTrainerLib.metrics.units import Length, common_length, length_of
from MedSegTrainerLib.model.likely_dice import Likely

SCHEMA_VERSION = 1
FILE_SIDES = ("prediction", "reference", "image", "uncertainty")
NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class OutputSelection:
    """What of the results is written. metrics: keys of ``METRICS``. pictures: folder for a PNG of each case."""

    metrics: tuple[str, ...] = tuple(METRICS)
    per_case: bool = True
    pictures: Path | None = None
    opacity: float = 0.45


EVERYTHING = OutputSelection()
LikelyOf = Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, Likely]]]


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
    selection: OutputSelection = EVERYTHING,
    ignore_label: int | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    overlapping: bool = False,
    label_names: Mapping[int, str] | None = None,
    likely: LikelyOf = lambda results: {},
) -> dict[str, Any]:
    """Measures every pair and writes ``metrics.json``, ``metrics.csv``, ``summary.csv`` and ``report.html``.

    classes: None takes the names from the files' ``Segment*`` fields, by which both sides agree, and calls every
    other value ``label N``. selection: what of it is written. facts: how the predictions were made, shown as a table.
    curves: one a validation, with ``minutes``, ``epoch``, ``mean_dice``, ``dice`` (class to value) and
    ``train_loss``. advice: what they say, each as ``Advice.to_json`` gives it. notes: sentences the reader
    should know. ignore_label: voxels of this value in a reference are taken as background on both sides
    and counted nowhere. tolerance_mm: of surface Dice. overlapping: whether the given classes do; without classes the
    files say it. There is no confusion table then. label_names: of values that no file names, where ``classes`` is
    None. likely: what was said of the Dice before it was known, by case and class, given what was measured (``cases``
    and ``not_drawn`` of the document).
    Returns the document of ``metrics.json``. Its ``length`` is ``pixels`` or ``voxels`` where no file says how large
    they are: each is taken for 1 mm then, so that ``_mm`` counts them and ``_ml`` thousands of them.
    Raises DataError for unreadable files and for a prediction and a reference on different grids, StorageError where
    nothing can be written.
    """
    pairs = list(pairs)
    warnings = _Notes(emit, notes)
    emit(Stage(name="evaluate", message=f"Comparing predictions with references ({len(pairs)})", total=len(pairs)))
    compared = compared_classes(pairs) if classes is None else None
    if compared is not None:
        classes, overlapping = compared.classes, compared.overlapping
    named = list(classes) if classes is not None else _named(pairs, warnings, label_names or {})
    measurements = _measure_all(
        pairs, named, classes is not None, ignore_label, tolerance_mm, emit, warnings, overlapping=overlapping
    )
    chosen = _distinct(named if classes is not None else _classes_of(measurements.values, named))
    results = _results(measurements, chosen, overlapping=overlapping)
    document = {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "created": time.strftime("%Y-%m-%d %H:%M"),
        "facts": dict(facts or {}),
        "ignore_label": ignore_label,
        "surface_tolerance_mm": tolerance_mm,
        "length": _length(measurements.lengths, warnings),
        "notes": warnings.messages,
        "metrics": list(selection.metrics),
        "per_case": selection.per_case,
        **results,
        "likely_dice": _told(likely(results), results["cases"]),
        "overlapping": overlapping,
        "label_forms": forms_json(pairs, named, ignore_label, overlapping=overlapping),
        "files": {pair.name: {side: _text(getattr(pair, side)) for side in FILE_SIDES} for pair in pairs},
        "curves": [dict(point) for point in curves or []],
        "advice": [dict(advice) for advice in advice],
    }
    written = _restricted(document, selection)
    report = _write(document, written, chosen, selection, output_dir)
    emit(_measured(written, len(measurements.values), report))
    return written


def _measured(written: Mapping[str, Any], cases: int, report: Path) -> Measured:
    means = {name: {key: item["mean"] for key, item in numbers.items()} for name, numbers in written["summary"].items()}
    return Measured(cases=cases, metrics=means, report=str(report), length=written["length"])


def _write(
    document: dict[str, Any],
    written: dict[str, Any],
    classes: Sequence[LabelClass],
    selection: OutputSelection,
    output_dir: Path,
) -> Path:
    """The files of an evaluation; returns the report's path."""
    from MedSegTrainerLib.report.evaluation_page import (
        write_report,  # matplotlib: a second that only evaluation should pay
    )

    with atomic.storage_errors(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
    atomic.write_json(output_dir / "metrics.json", written)
    if selection.per_case:
        atomic.write_bytes(output_dir / "metrics.csv", case_table(document, selection.metrics).encode())
    atomic.write_bytes(output_dir / "summary.csv", summary_table(document, selection.metrics).encode())
    report = output_dir / "report.html"
    write_report(document, report)
    if selection.pictures is not None:
        _write_pictures(document, classes, selection.pictures, selection.opacity)
    return report


class _Notes:
    """Warnings that are emitted at once and kept for the report, each only once."""

    def __init__(self, emit: Emit, initial: Sequence[str]) -> None:
        self.messages = list(initial)
        self._emit = emit

    def add(self, message: str) -> None:
        if message not in self.messages:
            self.messages.append(message)
            self._emit(Warned(message=message))


@dataclass
class _Measurements:
    """What was measured of all cases. ``values``: case to label value to numbers. ``lengths``: one a case.
    ``not_drawn``: case to the label values of classes that nobody looked for in it, of cases with any."""

    values: dict[str, dict[int, Values]] = field(default_factory=dict)
    lengths: list[Length] = field(default_factory=list)
    confusion: Confusion = field(default_factory=Confusion)
    uncertainty: UncertaintyError = field(default_factory=UncertaintyError)
    label_values: EvaluatedValues = field(default_factory=EvaluatedValues)
    not_drawn: dict[str, tuple[int, ...]] = field(default_factory=dict)


def _named(pairs: Sequence[Pair], notes: _Notes, label_names: Mapping[int, str]) -> list[LabelClass]:
    classes, messages = named_classes(pairs, label_names)
    for message in messages:
        notes.add(message)
    return classes


def _measure_all(
    pairs: Sequence[Pair],
    classes: Sequence[LabelClass],
    is_complete: bool,
    ignored: int | None,
    tolerance_mm: float,
    emit: Emit,
    notes: _Notes,
    *,
    overlapping: bool = False,
) -> _Measurements:
    """``is_complete``: other values than those of ``classes`` are background, else they are classes as well."""
    measurements = _Measurements()
    class_values = {item.value for item in classes}
    unknown: dict[int, str] = {}
    began = time.monotonic()
    for done, pair in enumerate(pairs, start=1):
        prediction, reference = read_sides(pair, classes, ignored, overlapping=overlapping)
        unlabelled = unlabelled_value(pair, ignored, overlapping=overlapping)
        expected = sitk.GetArrayFromImage(reference)
        measurements.label_values.add_rounded(pair, (prediction, reference))
        sides = labelled_parts(sitk.GetArrayFromImage(prediction), expected, unlabelled)
        without_label = None if unlabelled is None else expected == unlabelled
        voxels = expected.size if without_label is None else int(np.count_nonzero(~without_label))
        not_drawn, occurring = unknown_values(pair, classes), set[int]()
        if not_drawn:
            sides = without_unknown(*sides, not_drawn, overlapping=overlapping), sides[1]
        if not overlapping:
            sides, occurring = measurements.label_values.add(pair, sides, class_values)
        if is_complete:
            unknown |= dict.fromkeys(occurring - class_values, pair.name)
        values = sorted(class_values if is_complete else class_values | occurring)
        spacing = Geometry.of(reference).spacing_zyx
        measurements.values[pair.name] = measure(
            *sides, values, spacing, tolerance_mm=tolerance_mm, overlapping=overlapping, unknown=without_label
        )
        measurements.lengths.append(length_of(pair.reference, reference))
        if not_drawn:
            measurements.not_drawn[pair.name] = not_drawn
            measurements.values[pair.name] |= {value: dict.fromkeys(METRICS) for value in not_drawn}
        if not overlapping:
            measurements.confusion.add(*sides, values, voxels)
        _add_uncertainty(measurements.uncertainty, pair, reference, sides, without_label, notes)
        eta = (time.monotonic() - began) / done * (len(pairs) - done)
        emit(Progress(done=done, total=len(pairs), eta_seconds=eta))
    for message in _closing_notes(measurements, {item.value: item.name for item in classes}, unknown):
        notes.add(message)
    return _completed(
        _as_one_class(measurements) if not class_values and measurements.label_values.are_binary else measurements
    )


def _closing_notes(measurements: _Measurements, names: Mapping[int, str], unknown: Mapping[int, str]) -> Iterator[str]:
    """Sentences for the reader. unknown: values that were taken as background, with a case each."""
    if unknown:
        listed = ", ".join(f"{value} (in {case})" for value, case in sorted(unknown.items())[:NAMES_SHOWN])
        yield f"Label values that belong to no class were taken as background: {listed}."
    yield from cut_notes(measurements.values, names)
    yield from measurements.label_values.notes(names, unknown)
    yield from drawn_notes(measurements.not_drawn, names, len(measurements.values))


def _add_uncertainty(
    table: UncertaintyError,
    pair: Pair,
    reference: sitk.Image,
    sides: tuple[np.ndarray, np.ndarray],
    unknown: np.ndarray | None,
    notes: _Notes,
) -> None:
    """Counts a case that has a map of uncertainty; one that lies elsewhere gets a note."""
    if pair.uncertainty is None:
        return
    uncertainty = read_channels([pair.uncertainty])[0]
    image = place_on_grid(uncertainty, pair.uncertainty, reference, pair.reference, is_label=False).image
    if Geometry.of(image).disagreements(Geometry.of(reference)):
        notes.add(f"{pair.uncertainty.name} lies on another grid than the label maps of {pair.name} and was left out.")
        return
    table.add(pair.name, sitk.GetArrayFromImage(image), *sides, unknown)


def _length(lengths: Sequence[Length], notes: _Notes) -> Length:
    if len(set(lengths)) > 1:
        count = sum(length != "mm" for length in lengths)
        notes.add(f"{count} of {len(lengths)} references do not say how large their voxels are: taken as 1 mm.")
    return common_length(lengths)


def _as_one_class(measurements: _Measurements) -> _Measurements:
    """Cases of 0 and 255 among those of 0 and 1."""
    counts: dict[tuple[int, int], int] = {}
    for pair, voxels in measurements.confusion.counts.items():
        key = min(pair[0], 1), min(pair[1], 1)
        counts[key] = counts.get(key, 0) + voxels
    values = {
        name: {min(value, 1): measured for value, measured in case.items()}
        for name, case in measurements.values.items()
    }
    return replace(measurements, values=values, confusion=Confusion(counts))


def _completed(measurements: _Measurements) -> _Measurements:
    """Every value in every case: a class that a case lacks is absent there, not unknown."""
    values = sorted({value for case in measurements.values.values() for value in case})
    absent: Values = dict.fromkeys(METRICS)
    completed = {
        name: {value: case.get(value, absent) for value in values} for name, case in measurements.values.items()
    }
    return replace(measurements, values=completed)


def _classes_of(measured: Mapping[str, Mapping[int, Values]], classes: Sequence[LabelClass]) -> list[LabelClass]:
    named = {item.value: item for item in classes}
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


def _results(measurements: _Measurements, classes: Sequence[LabelClass], *, overlapping: bool) -> dict[str, Any]:
    """The part of the document that follows from what was measured; cases and summary are by the names of classes."""
    cases = {name: {item.name: values[item.value] for item in classes} for name, values in measurements.values.items()}
    summary = summarize(cases)
    name_of = {item.value: item.name for item in classes}
    not_drawn = {name: [name_of[value] for value in values] for name, values in measurements.not_drawn.items()}
    return {
        "classes": [{**asdict(item), "color": list(item.color)} for item in classes],
        "overall": _overall(cases, summary, not_drawn),
        "summary": summary,
        "cases": cases,
        "not_drawn": not_drawn,
        "confusion": None if overlapping else measurements.confusion.to_json(classes),
        "uncertainty": measurements.uncertainty.to_json(),
    }


def _told(
    likely: Mapping[str, Mapping[str, Likely]], cases: Mapping[str, Mapping[str, Values]]
) -> dict[str, dict[str, Any]] | None:
    """Of the cases and classes that were measured, what was said of them; None where nothing was."""
    told = {
        case: {
            name: asdict(one) for name, one in by_class.items() if name in cases[case] and one.likely_dice is not None
        }
        for case, by_class in likely.items()
        if case in cases
    }
    return {case: by_class for case, by_class in told.items() if by_class} or None


def _overall(
    cases: Mapping[str, Mapping[str, Values]],
    summary: Mapping[str, Mapping[str, Values]],
    not_drawn: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """``mean_dice`` is the mean over the classes of each class's mean over the cases."""
    outcomes = [
        outcome(values, drawn=name not in not_drawn.get(case, ()))
        for case, by_class in cases.items()
        for name, values in by_class.items()
    ]
    by_class = [item["dice"]["mean"] for item in summary.values() if item["dice"]["mean"] is not None]
    return {
        "mean_dice": float(np.mean(by_class)) if by_class else None,
        "case_mean_dice": {name: mean_dice(values) for name, values in cases.items()},
        **{kind: outcomes.count(kind) for kind in ("found", "missed", "extra", "absent")},
    }


def _restricted(document: Mapping[str, Any], selection: OutputSelection) -> dict[str, Any]:
    """The document with those metrics alone that are asked for, without the cases where they are not."""
    summary = {name: {key: item[key] for key in selection.metrics} for name, item in document["summary"].items()}
    cases = {
        case: {name: {key: values[key] for key in selection.metrics} for name, values in by_class.items()}
        for case, by_class in document["cases"].items()
    }
    hidden = set() if selection.per_case else {"cases"}
    return {key: value for key, value in {**document, "summary": summary, "cases": cases}.items() if key not in hidden}


def _write_pictures(document: Mapping[str, Any], classes: Sequence[LabelClass], folder: Path, opacity: float) -> None:
    from MedSegTrainerLib.report.case_arrays import read_case
    from MedSegTrainerLib.report.slice_pictures import draw_case

    for name, files in document["files"].items():
        value_of = {item.name: item.value for item in classes}
        not_drawn = [value_of[item] for item in document["not_drawn"].get(name, ())]
        form = document["label_forms"].get(name)
        case = read_case(files, list(value_of.values()), document["ignore_label"], value_of, not_drawn, form)
        with atomic.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(folder / f"{name}.png", draw_case(case, classes, opacity))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
