"""Comparing two evaluations of the same cases: which is better, by how much, how surely, and in which cases.

Every difference is B minus A. For distances and volume errors, of which less is better, a negative one is a gain.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.evaluation.document import read_evaluation
from MedSegTrainerLib.evaluation.paired_tests import (
    CONFIDENCE,
    FEW,
    FEWEST_CONCLUSIVE,
    FEWEST_TESTED,
    RESAMPLES,
    compare_pairs,
    holm,
)
from MedSegTrainerLib.files.csv_text import csv_text
from MedSegTrainerLib.metrics.metrics import METRICS, metric_key, outcome
from MedSegTrainerLib.metrics.units import Length, common_length, display_key, display_results

SCHEMA_VERSION = 1
NAMES_SHOWN = 5
SIGNIFICANT = 0.05
SAME_VOLUME = 1e-6  # relative; the reference volumes of a case are one number, written twice
OUTCOMES = ("found", "missed", "extra")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two evaluations. ``document`` is what its ``metrics.json`` holds."""

    name: str
    path: Path
    document: Mapping[str, Any]

    @property
    def cases(self) -> Mapping[str, Mapping[str, Mapping[str, float | None]]]:
        return self.document["cases"]

    @property
    def classes(self) -> list[str]:
        return [item["name"] for item in self.document["classes"]]

    @property
    def length(self) -> Length:
        return self.document.get("length", "mm")


def compare(
    first: Path, second: Path, output_dir: Path, *, metrics: Sequence[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Writes ``compare.json``, ``compare.csv`` and ``compare.html``, and returns what ``comparison`` does.

    Raises what that raises, and StorageError.
    """
    document = comparison(first, second, metrics=metrics, seed=seed)
    _write(document, output_dir)
    return document


def comparison(first: Path, second: Path, *, metrics: Sequence[str] = (), seed: int = 0) -> dict[str, Any]:
    """The document of ``compare.json``: B (``second``) compared with A (``first``).

    Each is a ``metrics.json``, a folder that has one, or a job with a report. metrics: names as people write them;
    without any all that both have, except plain volumes, of which neither more nor less is better. seed: of the
    bootstrap. Its ``length`` is that of the evaluations (see ``evaluate``), ``mm`` where they differ. Raises UsageError
    for what is no evaluation and for metrics that cannot be compared, DataError for evaluations without a case or class
    in common.
    """
    sides = _read_sides(first, second)
    cases = _common((side.cases for side in sides), "case")
    classes = _common((side.classes for side in sides), "class")
    chosen = _metrics(sides, metrics)
    results = {metric: _results(sides, metric, cases, classes, seed) for metric in chosen}
    colors = {item["name"]: item["color"] for item in sides[0].document["classes"]}
    return {
        "schema_version": SCHEMA_VERSION,
        "title": f"{sides[1].name} compared with {sides[0].name}",
        "created": time.strftime("%Y-%m-%d %H:%M"),
        "a": {"name": sides[0].name, "path": str(sides[0].path)},
        "b": {"name": sides[1].name, "path": str(sides[1].path)},
        "seed": seed,
        "resamples": RESAMPLES,
        "confidence": CONFIDENCE,
        "metrics": chosen,
        "length": common_length([side.length for side in sides]),
        "surface_tolerance_mm": sides[0].document.get("surface_tolerance_mm") if "surface_dice" in chosen else None,
        "classes": [{"name": name, "color": colors[name]} for name in classes],
        "cases": cases,
        "only_in_a": [name for name in sides[0].cases if name not in sides[1].cases],
        "only_in_b": [name for name in sides[1].cases if name not in sides[0].cases],
        "outcomes": {name: [_outcomes(side, cases, name) for side in sides] for name in classes},
        "notes": _notes(sides, cases, classes, metrics),
        "results": results,
    }


def _write(document: Mapping[str, Any], output_dir: Path) -> None:
    from MedSegTrainerLib.report.comparison_page import render  # matplotlib takes a second

    page = render(document)
    with atomic.storage_errors(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
    atomic.write_json(output_dir / "compare.json", document)
    atomic.write_bytes(output_dir / "compare.csv", _table(document).encode())
    atomic.write_bytes(output_dir / "compare.html", page.encode())


# --- What is compared ---


def _read_sides(first: Path, second: Path) -> tuple[Side, Side]:
    files = [_metrics_file(path) for path in (first, second)]
    if files[0].resolve() == files[1].resolve():
        raise UsageError(f"{first} and {second} are the same evaluation. Give two different ones.")
    names = _names(*(path.resolve() for path in (first, second)))
    return (
        Side(name=names[0], path=files[0], document=read_evaluation(files[0])),
        Side(name=names[1], path=files[1], document=read_evaluation(files[1])),
    )


def _metrics_file(path: Path) -> Path:
    """The ``metrics.json`` that a file, an evaluation's folder or a job stands for."""
    if not path.exists():
        raise UsageError(f"{path} does not exist. Check the path.")
    candidates = [path] if path.is_file() else [path / "metrics.json", path / "report" / "metrics.json"]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise UsageError(
            f"{path} holds no evaluation: there is neither metrics.json nor report/metrics.json in it. Give what "
            "'medsegtrainer evaluate' wrote, or a job that has ended."
        )
    return file


def _names(first: Path, second: Path) -> tuple[str, str]:
    """The two paths as far as they differ."""
    try:
        shared = Path(os.path.commonpath([first, second]))
    except ValueError:  # two drives of Windows
        return str(first), str(second)
    names = [path.relative_to(shared).as_posix() for path in (first, second)]
    short = [name.removesuffix("/metrics.json").removesuffix("/report") for name in names]
    return tuple(shared.name if name in ("", ".") else name for name in short)  # type: ignore[return-value]


def _common(sides: Iterable[Iterable[str]], what: str) -> list[str]:
    first, second = (list(side) for side in sides)
    common = [name for name in first if name in second]
    if not common:
        raise DataError(
            f"The two evaluations have no {what} in common. A has {_listed(first)}; B has {_listed(second)}. "
            f"They are paired by the names of cases and classes: evaluate both on the same cases, under the same names."
        )
    return common


def _metrics(sides: Sequence[Side], requested: Sequence[str]) -> list[str]:
    """Keys of ``METRICS`` that both have and of which more or less is better; raises UsageError for the others."""
    keys = list(dict.fromkeys(metric_key(name) for name in requested))
    both = [key for key in METRICS if all(key in side.document["metrics"] for side in sides)]
    directed = [key for key in both if METRICS[key].better and (key != "surface_dice" or _same_tolerance(sides))]
    wrong = [key for key in keys if key not in directed]
    if wrong or not directed:
        available = f"Known to both: {', '.join(directed)}." if directed else "They share no metric at all."
        reason = "not in both evaluations, measured with another tolerance, or a plain volume"
        raise UsageError(f"Cannot be compared: {', '.join(wrong) or 'anything'} ({reason}). {available}")
    return keys or directed


def _same_tolerance(sides: Sequence[Side]) -> bool:
    return len({side.document.get("surface_tolerance_mm") for side in sides}) == 1


# --- What comes out ---


def _results(
    sides: Sequence[Side], metric: str, cases: Sequence[str], classes: Sequence[str], seed: int
) -> dict[str, Any]:
    """``classes``: the result of each; ``overall``: of the means over the classes of each case."""
    by_class = {
        name: _result({case: _pair(sides, case, name, metric) for case in cases}, metric, seed) for name in classes
    }
    for test in ("p_wilcoxon", "p_t"):
        corrected = holm({name: result[test] for name, result in by_class.items()})
        for name, result in by_class.items():
            result[f"{test}_holm"] = corrected[name]
    overall = _result({case: _mean_pair(sides, case, classes, metric) for case in cases}, metric, seed)
    overall |= {"p_wilcoxon_holm": overall["p_wilcoxon"], "p_t_holm": overall["p_t"]}
    for result in (overall, *by_class.values()):
        result["verdict"] = _verdict(result, metric)
    return {"classes": by_class, "overall": overall}


Pair = tuple[float | None, float | None]


def _pair(sides: Sequence[Side], case: str, name: str, metric: str) -> Pair:
    first, second = (side.cases[case].get(name, {}).get(metric) for side in sides)
    return first, second


def _mean_pair(sides: Sequence[Side], case: str, classes: Sequence[str], metric: str) -> Pair:
    """Means over the classes of which both sides have the number."""
    pairs = [_pair(sides, case, name, metric) for name in classes]
    complete = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not complete:
        return None, None
    first, second = np.mean(complete, axis=0)
    return float(first), float(second)


def _result(pairs: Mapping[str, Pair], metric: str, seed: int) -> dict[str, Any]:
    """``left_out``: cases of which one side alone has the number. ``cases``: the greatest gain first."""
    complete = {case: (a, b) for case, (a, b) in pairs.items() if a is not None and b is not None}
    tested = asdict(compare_pairs([b - a for a, b in complete.values()], seed=seed))
    is_higher = METRICS[metric].better == "higher"
    above, below = tested.pop("above"), tested.pop("below")
    changes = [
        {"case": case, "a": a, "b": b, "difference": b - a, "change": _change(b - a, is_higher)}
        for case, (a, b) in complete.items()
    ]
    return {
        "mean_a": float(np.mean([a for a, _ in complete.values()])) if complete else None,
        "mean_b": float(np.mean([b for _, b in complete.values()])) if complete else None,
        **tested,
        "better": above if is_higher else below,
        "worse": below if is_higher else above,
        "left_out": sum((a is None) != (b is None) for a, b in pairs.values()),
        "cases": sorted(changes, key=lambda item: item["difference"], reverse=is_higher),
    }


def _change(difference: float, is_higher: bool) -> str:
    rounded = round(difference, 12)
    if not rounded:
        return "equal"
    return "better" if (rounded > 0) == is_higher else "worse"


def _verdict(result: Mapping[str, Any], metric: str) -> str:
    if result["n"] < FEWEST_CONCLUSIVE:
        return "too few cases to tell"
    if result["p_wilcoxon_holm"] >= SIGNIFICANT:
        return "no clear difference"
    # The test is of ranks: where the mean points elsewhere, a few large losses stand against many small gains
    ranks, mean = (
        value > 0 if METRICS[metric].better == "higher" else value < 0
        for value in (result["rank_biserial"], result["mean"])
    )
    if ranks == mean:
        return "B is better" if ranks else "B is worse"
    return "better in most cases, worse on average" if ranks else "worse in most cases, better on average"


def _outcomes(side: Side, cases: Sequence[str], name: str) -> dict[str, int]:
    """How often the class was found, missed, and predicted where it is not."""
    needed = ("dice", "precision", "recall")
    values = [side.cases[case].get(name, {}) for case in cases]
    outcomes = [outcome(item) for item in values if all(key in item for key in needed)]
    return {kind: outcomes.count(kind) for kind in OUTCOMES}  # type: ignore[arg-type]


# --- What the reader should know ---


def _notes(sides: Sequence[Side], cases: Sequence[str], classes: Sequence[str], requested: Sequence[str]) -> list[str]:
    notes = []
    for letter, side, other in (("A", sides[0], sides[1]), ("B", sides[1], sides[0])):
        for what, own, others in (("Cases", side.cases, other.cases), ("Classes", side.classes, other.classes)):
            alone = [name for name in own if name not in others]
            if alone:
                notes.append(f"{what} that only {letter} has, left out: {_listed(alone)}.")
    notes += [*_other_references(sides, cases, classes), *_other_drawn(sides, cases)]
    if not requested and not _same_tolerance(sides):
        notes.append("Surface Dice is left out: the two were measured with different tolerances.")
    if len(cases) < FEWEST_TESTED:
        notes.append("One case is no sample: there is a difference, and nothing can be said about other cases.")
    elif len(cases) < FEWEST_CONCLUSIVE:
        smallest = 2 / 2 ** len(cases)
        notes.append(
            f"With {len(cases)} cases no Wilcoxon test can give a p below {smallest:.3g}, however clear the difference "
            "is, and an interval would be far too narrow: look at the cases one by one."
        )
    elif len(cases) < FEW:
        notes.append(f"{len(cases)} cases are few: intervals are rough, and real differences are easily overlooked.")
    return notes


def _other_references(sides: Sequence[Side], cases: Sequence[str], classes: Sequence[str]) -> list[str]:
    def differ(a: float | None, b: float | None) -> bool:
        return a is not None and b is not None and abs(a - b) > SAME_VOLUME * max(a, b)

    other = [case for case in cases if any(differ(*_pair(sides, case, name, "volume_ml")) for name in classes)]
    if not other:
        return []
    return [
        f"The references are not the same: volumes differ in {_listed(other)}. Differences between A and B there may "
        "come from the references alone."
    ]


def _other_drawn(sides: Sequence[Side], cases: Sequence[str]) -> list[str]:
    first, second = (side.document.get("not_drawn", {}) for side in sides)
    other = [case for case in cases if set(first.get(case, ())) != set(second.get(case, ()))]
    if not other:
        return []
    return [
        f"A and B do not agree on which classes were drawn in {_listed(other)}. A class is compared in the cases in "
        "which it was drawn in both."
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(names[:NAMES_SHOWN]) + more) or "none"


def _table(document: Mapping[str, Any]) -> str:
    """CSV with a row for each metric, class and case; the greatest gain of a class first. Where pixels are counted
    the metrics' names say so."""
    rows = (
        [display_key(metric, document["length"]), name, *item.values()]
        for metric in document["results"]
        for name, result in display_results(document, metric)["classes"].items()
        for item in result["cases"]
    )
    return csv_text(["metric", "class", "case", "a", "b", "difference", "change"], rows)
