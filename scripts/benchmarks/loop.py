"""Dice over drawn slices for each ranking: a simulated user draws what ``suggest`` names, and trains on.

A draw begins with a few cases that are drawn whole, and volumes without labels. In each round a ranking suggests slices
of those volumes, they are drawn from the truth, and a training goes on from the last model with them, for as many steps
as any other. Each model is judged on the held-out cases, which no training sees. The first model of a draw is the same
for all rankings. What a round came to is kept in a folder beside the output: a measurement that is begun again with the
same output goes on after the last finished round.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from benchmarks.labels import SMOKE, dataset_and_split, run_training
from benchmarks.loop_figure import slices_to_reach, write_figure
from benchmarks.material import Material
from MedSegTrainerLib import atomic
from MedSegTrainerLib.api import suggest
from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.imaging.write import write_volume
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.model.package import load_package
from MedSegTrainerLib.suggestion.case_slices import choose_axis

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = 255  # value of voxels that nobody drew
BATCH = 4
BASELINE = "random-foreground"
ROUND, SETTINGS = "round.json", "settings.json"
Drawn = dict[str, dict[str, Any]]  # as ``SuggestConfig.drawn``


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A user: the cases that are drawn whole, the volumes to draw in, and what judges the models. cache: of all his
    trainings."""

    number: int
    dataset: Dataset
    whole: tuple[Case, ...]
    pool: tuple[Case, ...]
    held_out: tuple[Case, ...]
    arguments: argparse.Namespace
    material: Material
    cache: Path


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Does the rounds that are not there yet, all rankings in turn; raises MedSegError."""
    dataset, split = dataset_and_split(material, arguments)
    arms = list(RANKINGS) if arguments.arms is None else arguments.arms
    unknown = [name for name in arms if name not in RANKINGS]
    if unknown:
        raise UsageError(f"--arms {unknown[0]} is unknown; there are {', '.join(RANKINGS)}.")
    if len(split.train) <= arguments.first_cases:
        raise UsageError(
            f"--first-cases {arguments.first_cases}: {len(split.train)} cases train. Leave some to draw in."
        )
    folder = arguments.output.resolve().parent / f"{arguments.output.stem}-loop"
    _refuse_other_settings(folder, _settings(dataset.root.name, split.val, arguments))
    by_name = {case.name: case for case in dataset.cases}
    points: dict[str, list[list[dict[str, Any]]]] = {arm: [] for arm in arms}
    document: dict[str, Any] = {}
    for number in range(arguments.first_draw, arguments.first_draw + arguments.draws):
        chosen = random.Random(number).sample(sorted(split.train), min(arguments.cases, len(split.train)))
        draw = Draw(
            number=number,
            dataset=dataset,
            whole=tuple(by_name[name] for name in chosen[: arguments.first_cases]),
            pool=tuple(by_name[name] for name in chosen[arguments.first_cases :]),
            held_out=tuple(by_name[name] for name in split.val),
            arguments=arguments,
            material=material,
            cache=folder / "cache",
        )
        for arm, curve in _curves(draw, arms, folder / f"draw-{number}").items():
            points[arm].append(curve)
        document = _document(dataset.root.name, len(split.val), arguments, points, folder)
        atomic.write_json(folder / "so-far.json", document)
        write_figure(document, arguments.output.with_name(f"{arguments.output.stem}-loop.png"))
    return document


def show(section: dict[str, Any]) -> Table:
    from rich.table import Table

    title = (
        f"{section['data']}: mean Dice of {section['held_out']} held-out cases over drawn slices, {section['draws']} "
        f"draws, {section['effort']} a round"
    )
    slices = [point["slices"] for point in next(iter(section["arms"].values()))[0]]
    table = Table(title=title, caption=section["files"])
    table.add_column("Ranking")
    for count in slices:
        table.add_column(str(count), justify="right", no_wrap=True)
    table.add_column(f"slices to {section['target']:g}", justify="right", no_wrap=True)
    for arm, draws in section["arms"].items():
        means = [statistics.fmean(point["mean_dice"] for point in points) for points in zip(*draws, strict=True)]
        reached = section["slices_to_target"][arm]
        share = section["share_of_baseline"].get(arm)
        text = "not reached" if reached is None else f"{reached:.0f}" + (f" ({share:.0%})" if share else "")
        table.add_row(arm, *(f"{value:.4f}" for value in means), text)
    return table


def _curves(draw: Draw, arms: Sequence[str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """A point for the first model and each round, for every ranking."""
    first = _round(folder / "first", draw, {}, None, draw.number)
    curves = {arm: [first] for arm in arms}
    drawn: dict[str, Drawn] = {arm: {} for arm in arms}
    jobs = dict.fromkeys(arms, folder / "first" / "job")
    for number in range(1, draw.arguments.rounds + 1):
        for arm in arms:
            place = folder / arm / f"round-{number}"
            seed = 1000 * draw.number + number
            if not (place / ROUND).exists():
                shutil.rmtree(place, ignore_errors=True)
                began = time.monotonic()
                document = _suggestions(draw, arm, jobs[arm], drawn[arm], place / "suggestions", seed)
                seconds = time.monotonic() - began
                after = _with(drawn[arm], document["suggestions"])
                point = _round(place, draw, after, jobs[arm], seed, suggest_seconds=seconds)
            else:
                point = read_json_file(place / ROUND)
            curves[arm].append(point)
            drawn[arm] = point["drawn"]
            if number > 1:
                shutil.rmtree(jobs[arm], ignore_errors=True)  # nothing goes on from it any more
            jobs[arm] = place / "job"
    return curves


def _round(
    place: Path, draw: Draw, drawn: Drawn, start: Path | None, seed: int, suggest_seconds: float = 0.0
) -> dict[str, Any]:
    """A training on all that is drawn, and how good its model is; read where it is there already."""
    if (place / ROUND).exists():
        found: dict[str, Any] = read_json_file(place / ROUND)
        return found
    shutil.rmtree(place / "job", ignore_errors=True)
    data = _write_cases(draw, drawn, place / "data")
    began = time.monotonic()
    given = [*_settings_of(draw, len(draw.whole) + len(drawn), seed), f"data.cache_dir={draw.cache}"]
    run_training(place, given if start is None else [*given, f"start.model={start}"])
    trained = time.monotonic()
    dice = _judge(place / "job", draw)
    point = {
        "slices": sum(len(entry["slices"]) for entry in drawn.values()),
        "dice": dice,
        "mean_dice": statistics.fmean(dice.values()),
        "drawn": drawn,
        "seconds": {
            "suggest": round(suggest_seconds, 1),
            "train": round(trained - began, 1),
            "judge": round(time.monotonic() - trained, 1),
        },
    }
    shutil.rmtree(data)
    for name in ("cache", "checkpoints"):
        shutil.rmtree(place / "job" / name, ignore_errors=True)
    shutil.rmtree(place / "suggestions", ignore_errors=True)
    atomic.write_json(place / ROUND, point)
    print(f"  draw {draw.number}, {place.parent.name} {place.name}: {point['slices']} slices, "
          f"Dice {point['mean_dice']:.4f}", flush=True)  # fmt: skip
    return point


def _suggestions(draw: Draw, ranking: str, job: Path, drawn: Drawn, output: Path, seed: int) -> dict[str, Any]:
    return suggest(
        job,
        [],
        output,
        cases={case.name: [str(image.resolve()) for image in case.images] for case in draw.pool},
        count=draw.arguments.slices,
        ranking=ranking,
        slice_axis=draw.arguments.slice_axis,
        seed=seed,
        drawn=drawn,
        device=str(draw.material.device),
    )


def _with(drawn: Drawn, suggestions: Sequence[Mapping[str, Any]]) -> Drawn:
    """What is drawn after a round."""
    after = {name: {"axis": entry["axis"], "slices": list(entry["slices"])} for name, entry in drawn.items()}
    for item in suggestions:
        entry = after.setdefault(item["case"], {"axis": item["axis"], "slices": []})
        entry["slices"].append(item["slice"])
    return after


def _write_cases(draw: Draw, drawn: Drawn, folder: Path) -> Path:
    """``cases.json`` of the whole cases and of those of which slices are drawn."""
    by_name = {case.name: case for case in draw.pool}
    cases = [(case, case.label) for case in draw.whole]
    cases += [(by_name[name], _sparse(by_name[name], entry, folder)) for name, entry in sorted(drawn.items())]
    entries = [
        {"name": case.name, "images": [str(image.resolve()) for image in case.images], "label": str(label.resolve())}
        for case, label in cases
    ]
    classes = [
        {"value": value, "name": name, "color": [50 * index % 256, 200, 100]}
        for index, (value, name) in enumerate(sorted(draw.dataset.label_names.items()))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    document = {"schema_version": 1, "ignore_label": UNKNOWN, "classes": classes, "cases": entries}
    atomic.write_json(folder / "cases.json", document)
    return folder


def _sparse(case: Case, entry: Mapping[str, Any], folder: Path) -> Path:
    """The truth in the drawn slices, and ``UNKNOWN`` everywhere else."""
    labels = read_label_map(case.label, case.segment_values)
    axis = choose_axis(Geometry.of(labels), entry["axis"], None)
    truth = sitk.GetArrayFromImage(labels).astype(np.int16)
    known = np.full_like(truth, UNKNOWN)
    place = (slice(None),) * axis.place + (entry["slices"],)
    known[place] = truth[place]
    image = sitk.GetImageFromArray(known)
    image.CopyInformation(labels)
    path = folder / "labels" / f"{case.name}.nii.gz"
    write_volume(image, path)
    return path


def _settings_of(draw: Draw, cases: int, seed: int) -> Iterator[str]:
    arguments = draw.arguments
    samples = max(1, round(arguments.samples / cases))
    steps = max(1, cases * samples // BATCH)
    yield f"data.samples_per_volume={samples}"
    yield f"data.batch_size={BATCH}"
    yield f"data.seed={seed}"
    yield "data.val_split=0"
    yield "data.test_split=0"
    yield f"trainer.device={draw.material.device}"
    yield "trainer.tensorboard=false"
    if arguments.loop_minutes is None:
        yield f"trainer.epochs={max(1, round(arguments.steps / steps))}"
    else:
        yield f"trainer.budget={60 * arguments.loop_minutes:.0f}s"
    yield from SMOKE if arguments.smoke else ()
    yield from arguments.set


def _judge(job: Path, draw: Draw) -> dict[str, float]:
    """Class to its mean Dice over the held-out cases that have it."""
    predictor = Predictor(load_package(job), draw.material.device, overlap=0.25)
    values: dict[str, list[float]] = {}
    for case in draw.held_out:
        predicted = sitk.GetArrayFromImage(predictor.predict(read_channels(case.images)))
        truth = sitk.GetArrayFromImage(read_label_map(case.label, case.segment_values))
        for item in predictor.plan.classes:
            found, there = predicted == item.value, truth == item.value
            if there.any():
                both = 2 * np.count_nonzero(found & there)
                values.setdefault(item.name, []).append(both / (np.count_nonzero(found) + np.count_nonzero(there)))
    return {name: statistics.fmean(of_class) for name, of_class in values.items()}


def _settings(data: str, held_out: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """What rounds must have in common to be points of one curve."""
    names = ("cases", "first_cases", "slices", "steps", "loop_minutes", "samples", "slice_axis", "set", "smoke")
    return {"data": data, "held_out": list(held_out), **{name: getattr(arguments, name) for name in names}}


def _refuse_other_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    path = folder / SETTINGS
    if path.exists():
        before = read_json_file(path)
        other = [name for name, value in settings.items() if before.get(name) != value]
        if other:
            raise UsageError(
                f"{folder} holds rounds with other settings ({', '.join(other)}). Give the same, or another --output."
            )
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, dict(settings))


def _document(
    data: str,
    held_out: int,
    arguments: argparse.Namespace,
    points: Mapping[str, list[list[dict[str, Any]]]],
    folder: Path,
) -> dict[str, Any]:
    curves = {
        arm: [[{key: value for key, value in point.items() if key != "drawn"} for point in curve] for curve in draws]
        for arm, draws in points.items()
    }
    reached = {arm: slices_to_reach(draws, arguments.target) for arm, draws in curves.items()}
    baseline = reached.get(BASELINE)
    steps = f"{arguments.steps} steps" if arguments.loop_minutes is None else f"{arguments.loop_minutes:g} minutes"
    return {
        "data": data,
        "held_out": held_out,
        "whole_cases": arguments.first_cases,
        "pool": arguments.cases - arguments.first_cases,
        "slices_a_round": arguments.slices,
        "effort": steps,
        "draws": len(next(iter(points.values()))),
        "target": arguments.target,
        "arms": curves,
        "slices_to_target": reached,
        "share_of_baseline": {
            arm: count / baseline for arm, count in reached.items() if count is not None and baseline
        },
        "files": str(folder),
    }
