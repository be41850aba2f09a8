"""Whether the likely Dice can be trusted: against the true one, of held-out cases as they are and spoiled in many ways.

The clean images of one half of the cases teach what an agreement means, the other half judges it, in several divisions;
a case is never judged by what it taught. Beside it: what looking twice costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from benchmarks.material import Material
from benchmarks.spoiled_images import SPOILINGS
from MedSegTrainerLib import atomic
from MedSegTrainerLib.data.case_labels import read_labels_onto
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.model.data_profile import unlike_training
from MedSegTrainerLib.model.likely_dice import ClassPoints, Point, estimate
from MedSegTrainerLib.model.package import ModelPackage, load_package
from MedSegTrainerLib.report.likely_plot import Told, draw_likely

if TYPE_CHECKING:
    from rich.table import Table

LOW = 0.8  # Dice, below which a result should be found
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933")
TIMED = 5  # cases, with and without the second look in turn


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A class in an image. agreement: None where no look found it; dice: None where nothing is to be found."""

    case: str
    spoiling: str
    name: str
    agreement: float | None
    dice: float | None
    unlike: bool


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Applies the model to every held-out case in every way, and judges what is said; raises MedSegError."""
    if arguments.model is None or arguments.data is None:
        raise UsageError("'sure' judges a trained model: give --model, and --data with the cases it held out.")
    package = load_package(arguments.model)
    predictor = Predictor(package, material.device, overlap=arguments.window_overlap)
    cases = _held_out(package, arguments)
    seen = [one for index, case in enumerate(cases) for one in _looks_at(predictor, case, index)]
    told = [item for division in range(arguments.divisions) for item in _judged(seen, division)]
    folder = arguments.output.resolve().parent
    picture = folder / f"{arguments.output.stem}-sure.svg"
    first = [told_of for told_of, _ in _judged(seen, 0)]
    atomic.write_bytes(picture, draw_likely(first, dict(zip(SPOILINGS, COLORS, strict=True))).encode())
    return {
        "data": arguments.data.name,
        "held_out": len(cases),
        "divisions": arguments.divisions,
        "low": LOW,
        "auroc": _auroc(told),
        "share_low": statistics.fmean(item.dice < LOW for item, _ in told),
        "spoilings": {name: _figures([item for item, _ in told if item.name == name]) for name in SPOILINGS},
        "classes": {
            name: _figures([item for item, of in told if of == name and item.name == "clean"])
            for name in package.plan.class_names
        },
        "cost": _cost(predictor, cases),
        "seen": [asdict(one) for one in seen],
        "picture": str(picture),
    }


def _held_out(package: ModelPackage, arguments: argparse.Namespace) -> list[Case]:
    names = set(package.training.get("val_cases", []))
    cases = [case for case in find_cases(arguments.data).cases if case.name in names]
    if len(cases) < 4:
        raise UsageError(f"{arguments.data} has {len(cases)} of the cases that the model held out; 4 are needed.")
    return cases[: 4 if arguments.smoke else arguments.cases]


def _looks_at(predictor: Predictor, case: Case, index: int) -> Iterator[Seen]:
    plan, data = predictor.plan, predictor.packages[0].data
    channels = read_channels(case.images)
    reference = read_labels_onto(case, channels[0], plan.ignore_label)
    if len(channels) > 1:
        raise UsageError(f"{case.name} has {len(channels)} channels, and images of one are spoiled.")
    for number, (spoiling, spoil) in enumerate(SPOILINGS.items()):
        image, labels = spoil(channels[0], reference, np.random.default_rng([index, number]))
        prediction = predictor.segment(predictor.prepare([image]), with_agreement=True)
        unlike = bool(unlike_training([image], plan, data))
        predicted, expected = map(sitk.GetArrayViewFromImage, (prediction.labels, labels))
        for item, agreement in zip(plan.classes, prediction.agreement or [], strict=True):
            if case.drawn is not None and item.name not in case.drawn:
                continue
            dice = _dice(predicted == item.value, expected == item.value)
            yield Seen(case=case.name, spoiling=spoiling, name=item.name, agreement=agreement, dice=dice, unlike=unlike)
    print(f"  {case.name}", flush=True)


def _dice(first: np.ndarray, second: np.ndarray) -> float | None:
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else None


def _judged(seen: Sequence[Seen], division: int) -> list[tuple[Told, str]]:
    """What was said of the cases of one half, named after what was done to them, and the class."""
    cases = sorted({one.case for one in seen})
    teaching = set(np.random.default_rng(division).permutation(cases)[: len(cases) // 2])
    judged = []
    for name in dict.fromkeys(one.name for one in seen):
        mine = [one for one in seen if one.name == name]
        taught = [
            Point(case=one.case, agreement=one.agreement, dice=one.dice)
            for one in mine
            if one.case in teaching and one.spoiling == "clean"
        ]
        points = ClassPoints(value=1, name=name, points=taught)
        for one in mine:
            said = estimate(points, one.agreement, unlike=one.unlike)
            if one.case in teaching or one.dice is None or None in (said.likely_dice, said.low, said.high):
                continue
            assert said.likely_dice is not None and said.low is not None and said.high is not None
            told = Told(name=one.spoiling, likely=said.likely_dice, low=said.low, high=said.high, dice=one.dice)
            judged.append((told, name))
    return judged


def _auroc(told: Sequence[tuple[Told, str]]) -> float | None:
    """How often, of a result below ``LOW`` and one that is not, the likely Dice of the first is lower."""
    bad, good = ([item.likely for item, _ in told if (item.dice < LOW) is low] for low in (True, False))
    if not bad or not good:
        return None
    below = np.searchsorted(np.sort(good), bad, side="right")
    same = below - np.searchsorted(np.sort(good), bad, side="left")
    return float((len(good) - below + same / 2).mean() / len(good))


def _figures(told: Sequence[Told]) -> dict[str, float | None]:
    if not told:
        return dict.fromkeys(("dice", "likely", "covered", "width", "error"))
    return {
        "dice": statistics.fmean(item.dice for item in told),
        "likely": statistics.fmean(item.likely for item in told),
        "covered": statistics.fmean(item.is_inside for item in told),
        "width": statistics.median(item.high - item.low for item in told),
        "error": statistics.fmean(abs(item.likely - item.dice) for item in told),
    }


def _cost(predictor: Predictor, cases: Sequence[Case]) -> dict[str, float]:
    """CPU seconds of a case without and with the second look, in turn: medians, and their ratio."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for case in cases[:TIMED]:
        prepared = predictor.prepare(read_channels(case.images))
        for with_agreement in (False, True):
            began = time.process_time()
            predictor.segment(prepared, with_agreement=with_agreement)
            seconds[with_agreement].append(time.process_time() - began)
    plain, twice = (statistics.median(seconds[key]) for key in (False, True))
    return {"plain_seconds": plain, "with_seconds": twice, "ratio": twice / plain}


def show(section: Mapping[str, Any]) -> Table:
    from rich.table import Table

    auroc, cost = section["auroc"], section["cost"]
    title = (
        f"{section['data']}: likely against true Dice of {section['held_out']} held-out cases, half of them taught, "
        f"{section['divisions']} divisions\nAUROC for Dice below {section['low']}: "
        f"{'-' if auroc is None else f'{auroc:.3f}'} ({section['share_low']:.0%} are); "
        f"CPU time x {cost['ratio']:.2f}"
    )
    table = Table(title=title, caption=section["picture"])
    table.add_column("Images")
    for heading in ("Dice", "Likely", "In interval", "Its width", "Mean error"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {**section["spoilings"], **{f"clean, {name}": item for name, item in section["classes"].items()}}
    for name, item in rows.items():
        cells = [item[key] for key in ("dice", "likely", "covered", "width", "error")]
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in cells))
    return table
