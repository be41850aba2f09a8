"""What incomplete labels cost: models of the same cases, whose labels are complete, have gaps, or are a few slices.

Each arm is a real training of as many epochs, on label maps of which a part was taken away, and is judged on the
complete labels of the same held-out cases. A draw chooses the cases that all arms of it train on.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import SimpleITK as sitk

from benchmarks.material import Material
from benchmarks.processes import Work, run_lanes
from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import DataConfig
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split, split_dataset
from MedSegTrainerLib.errors import JobError, UsageError
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.imaging.geometry import to_canonical
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.write import write_volume
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.workflow.settings_files import train_config

if TYPE_CHECKING:
    from rich.table import Table

EVERY = 4  # slices, of which one is drawn
SHARE = 4  # of so many cases one is left, in the arm of fewer cases
AXES: tuple[Literal["z", "y", "x"], ...] = ("z", "y", "x")  # of the patient, as arrays have them
SMOKE = ("network.base_channels=4", "network.dims=3", "data.patch_size=[16, 32, 32]")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is left of the training cases' labels; ``folder`` takes label maps that are changed."""

    dataset: Dataset
    cases: tuple[Case, ...]
    axis: int
    folder: Path


def complete(drawing: Drawing) -> Iterator[Case]:
    yield from drawing.cases


def gaps_as_background(drawing: Drawing) -> Iterator[Case]:
    """As before anybody could say what was not drawn."""
    for case in drawing.cases:
        yield replace(case, drawn=None)


def one_class_each(drawing: Drawing) -> Iterator[Case]:
    """In each case one class was drawn, in turn."""
    names = drawing.dataset.label_names
    for index, case in enumerate(drawing.cases):
        value = sorted(names)[index % len(names)]
        label = _changed(case, drawing, lambda array, value=value: np.where(array == value, array, 0))  # type: ignore[misc]
        yield replace(case, label=label, drawn=(names[value],))


def one_class_each_as_background(drawing: Drawing) -> Iterator[Case]:
    for case in one_class_each(drawing):
        yield replace(case, drawn=None)


def every_fourth_slice(drawing: Drawing) -> Iterator[Case]:
    """Slices along an axis of the patient; what lies between them is unknown."""
    for case in drawing.cases:
        yield replace(case, label=_changed(case, drawing, _sliced(drawing.axis)), labelled_slices=AXES[drawing.axis])


def a_quarter_of_the_cases(drawing: Drawing) -> Iterator[Case]:
    yield from drawing.cases[: max(1, len(drawing.cases) // SHARE)]


ARMS: dict[str, Callable[[Drawing], Iterator[Case]]] = {
    "complete": complete,
    "gaps-as-background": gaps_as_background,
    "one-class-each": one_class_each,
    "one-class-each-as-background": one_class_each_as_background,
    "every-fourth-slice": every_fourth_slice,
    "a-quarter-of-the-cases": a_quarter_of_the_cases,
}


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains every arm in every draw, one after the other; raises MedSegError."""
    folder = arguments.output.resolve().parent / f"{arguments.output.stem}-labels" / time.strftime("%Y%m%d-%H%M%S")
    dataset, split = dataset_and_split(material, arguments)
    arms = ["complete"] if arguments.arms is None else arguments.arms
    unknown = [name for name in arms if name not in ARMS]
    if unknown:
        raise UsageError(f"--arms {unknown[0]} is unknown; there are {', '.join(ARMS)}.")
    by_name = {case.name: case for case in dataset.cases}
    held_out = [by_name[name] for name in split.val]
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    for draw in range(arguments.draws):
        count = min(arguments.cases, len(split.train))
        chosen = random.Random(draw).sample(sorted(split.train), count)
        for arm in arms:
            place = folder / f"{arm}-{draw}"
            drawing = Drawing(
                dataset=dataset,
                cases=tuple(by_name[name] for name in chosen),
                axis=AXES.index(arguments.slice_axis),
                folder=place / "data",
            )
            trained = list(ARMS[arm](drawing))
            _write_cases(dataset, trained, held_out, place / "data")
            _train(place, arguments, draw, len(trained), material)
            results[arm].append(_dice(place, held_out, dataset, arm))
    return {
        "data": dataset.root.name,
        "cases": min(arguments.cases, len(split.train)),
        "held_out": len(held_out),
        "epochs": arguments.epochs,
        "draws": arguments.draws,
        "arms": results,
        "files": str(folder),
    }


def dataset_and_split(material: Material, arguments: argparse.Namespace) -> tuple[Dataset, Split]:
    """The data and which cases of it are held out; raises UsageError where none is."""
    dataset = find_cases(arguments.data or material.cases[0].label.parent.parent)
    given = None if arguments.split_file is None else str(arguments.split_file)
    split = split_dataset(dataset, DataConfig(split_file=given, fold=arguments.fold))
    if not split.val:
        raise UsageError(f"No case is held out ({split.reason}). Give --split-file, or more cases.")
    return dataset, split


def run_training(place: Path, given: Sequence[str]) -> JobFolder:
    """A job in a process of its own, on ``data`` in a folder, as ``job`` in it; raises JobError where it fails."""
    folder = JobFolder(place / "job")

    def start(environment: Mapping[str, str]) -> Any:
        folder.create(train_config(place / "data", None, [*given]))
        return folder.start(environment=environment)

    def check() -> None:
        status = folder.status()
        if status.state != "finished":
            raise JobError(f"The training in {folder.path} did not come to its end: {status.message}")

    run_lanes([[Work(name=place.name, start=start, check=check)]], [None])
    return folder


def _changed(case: Case, drawing: Drawing, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """The label map with another array (canonical axes z, y, x), in a file of its own."""
    canonical = to_canonical(read_label_map(case.label, case.segment_values))
    labels = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(canonical)).astype(np.int16))
    labels.CopyInformation(canonical)
    path = drawing.folder / f"{case.name}.nii.gz"
    write_volume(labels, path)
    return path


def _sliced(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        kept = np.zeros_like(array)
        chosen = (slice(None),) * axis + (slice(EVERY // 2, None, EVERY),)
        kept[chosen] = array[chosen]
        return kept

    return change


def _write_cases(dataset: Dataset, train: Sequence[Case], held_out: Sequence[Case], folder: Path) -> None:
    """``cases.json`` of both, with each on its side."""
    entries = [
        {
            "name": case.name,
            "images": [str(image.resolve()) for image in case.images],
            "label": str(case.label.resolve()),
            "part": part,
            **({} if case.drawn is None else {"drawn": list(case.drawn)}),
            **({"labelled_slices": case.labelled_slices} if case.labelled_slices else {}),
        }
        for part, cases in (("train", train), ("val", held_out))
        for case in cases
    ]
    classes = [{"value": value, "name": name} for value, name in sorted(dataset.label_names.items())]
    for index, entry in enumerate(classes):
        entry["color"] = [50 * index % 256, 200, 100]
    folder.mkdir(parents=True, exist_ok=True)
    document = {"schema_version": 1, "channels": list(dataset.channel_names), "classes": classes, "cases": entries}
    atomic.write_json(folder / "cases.json", document)


def _train(place: Path, arguments: argparse.Namespace, draw: int, cases: int, material: Material) -> None:
    """A job with as many steps in an epoch whatever the number of cases."""
    samples = max(1, round(arguments.samples / cases))
    given = [
        f"trainer.epochs={arguments.epochs}",
        f"data.samples_per_volume={samples}",
        f"data.seed={draw}",
        f"trainer.device={material.device}",
        *(SMOKE if arguments.smoke else ()),
        *arguments.set,
    ]
    folder = run_training(place, given)
    if not folder.report.exists():
        raise JobError(f"The training in {folder.path} ended without a report.")


def _dice(place: Path, held_out: Sequence[Case], dataset: Dataset, arm: str) -> dict[str, Any]:
    """Of the job's own label maps, with the complete labels: mean Dice by class, and their mean."""
    predictions = place / "job" / "report" / "predictions"
    pairs = [
        Pair(
            name=case.name,
            prediction=predictions / f"{case.name}.seg.nrrd",
            reference=case.label,
            image=None,
            drawn=case.drawn,
        )
        for case in held_out
    ]
    document = evaluate(
        pairs, None, place / "evaluation", lambda event: None, title=arm, label_names=dataset.label_names
    )
    dice = {name: metrics["dice"]["mean"] for name, metrics in document["summary"].items()}
    known = [value for value in dice.values() if value is not None]
    return {"dice": dice, "mean_dice": sum(known) / len(known)}


def show(section: dict[str, Any]) -> Table:
    from rich.table import Table

    title = (
        f"{section['data']}: Dice of {section['held_out']} held-out cases, trained on {section['cases']} for "
        f"{section['epochs']} epochs, {section['draws']} draws"
    )
    names = list(next(iter(section["arms"].values()))[0]["dice"])
    table = Table(title=title, caption=section["files"])
    table.add_column("Labels")
    for heading in (*names, "Mean", "Lowest", "Highest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm, draws in section["arms"].items():
        means = [one["mean_dice"] for one in draws]
        by_class = [statistics.fmean(one["dice"][name] for one in draws) for name in names]
        values = [*by_class, statistics.fmean(means), min(means), max(means)]
        table.add_row(arm, *(f"{value:.4f}" for value in values))
    return table
