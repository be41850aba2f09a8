"""The time to the Dice that MONAI's DynUNet recipe reaches in its minutes: both on the same cases, in one run.

Ours are real jobs, as ``medsegtrainer train DATA --budget TIME`` makes them, one for each of ``--our-minutes``: each is
planned for its own time, as the recipe is for its own. The clock of either side runs from the start of its process to
its end: reading, planning, preparing, training, validation, the final label maps, and for ours the report. The Dice is
that of these label maps on the held-out files' own grids, measured by one function. Both keep the weights that were
best on these cases, and neither averages over mirrored images.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.dice_figure import write_figure
from benchmarks.dice_sides import Setting, our_result, our_work, recipe_for, their_result, their_work
from benchmarks.machine import cpu_model
from benchmarks.material import Material
from benchmarks.processes import Work, run_lanes, usable_cores
from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import DataConfig
from MedSegTrainerLib.data.checks.fingerprint import take_fingerprint
from MedSegTrainerLib.data.checks.scan import scan_cases
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.layouts.dataset_json import read_description
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split, split_dataset
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.hardware.device import describe

if TYPE_CHECKING:
    from rich.table import Table

OUR_SHARE = 0.25  # of their time: what is aimed at


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """The comparison and its figure, which lies beside ``--output`` as do the jobs; raises MedSegError."""
    name = f"{arguments.output.stem}-dice"
    setting = prepare(material, arguments, arguments.output.resolve().parent / name / time.strftime("%Y%m%d-%H%M%S"))
    minutes: float = arguments.minutes
    ours = [
        (share, our_work(setting, share)) for share in sorted(arguments.our_minutes or (OUR_SHARE * minutes, minutes))
    ]
    trials = list(itertools.product(arguments.their_rates, arguments.their_recipes))
    theirs = [(trial, their_work(setting, minutes, *trial)) for trial in trials]
    lanes, cores, arrangement = _arrange(
        [work for _, work in ours], [work for _, work in theirs], arguments.together, usable_cores()
    )
    run_lanes(lanes, cores)
    results = {
        "ours": [our_result(setting, planned, work) for planned, work in ours],
        "theirs": [their_result(setting, minutes, *trial, work) for trial, work in theirs],
    }
    figure = arguments.output.with_name(f"{name}.png")
    document = {
        "data": read_description(setting.data).get("name") or setting.data.name,
        "train": len(setting.train),
        "held_out": len(setting.val),
        "classes": [item.name for item in setting.classes],
        "how": arrangement,
        "machine_words": _machine_text(material, cores),
        **results,
        "headline": headline(**results),
        "figure": str(figure),
        "files": str(setting.folder),
    }
    write_figure(document, figure)
    return document


def prepare(material: Material, arguments: argparse.Namespace, folder: Path) -> Setting:
    """Reads the data and writes the split that both sides get."""
    root = arguments.data or material.cases[0].label.parent.parent
    dataset = find_cases(root)
    given = None if arguments.split_file is None else str(arguments.split_file)
    split = split_dataset(dataset, DataConfig(split_file=given, fold=arguments.fold))
    by_name = {case.name: case for case in dataset.cases}
    train, val = (tuple(by_name[name] for name in names) for names in (split.train, split.val))
    _refuse_unreadable(train + val)
    fingerprint = take_fingerprint(dataset, scan_cases(train))
    if [item.value for item in fingerprint.classes] != list(range(1, len(fingerprint.classes) + 1)):
        raise UsageError("The recipe wants the labels 1, 2, 3, ... without gaps. Choose other --data.")
    if not val:
        raise UsageError(f"No case is held out ({split.reason}). Give --split-file, or more cases.")
    return Setting(
        data=root,
        train=train,
        val=val,
        split_file=_write_split(split, folder),
        classes=tuple(fingerprint.classes),
        recipe=recipe_for(fingerprint, str(read_description(root).get("name")), smoke=arguments.smoke),
        folder=folder,
        device=str(material.device),
        smoke=arguments.smoke,
    )


def _refuse_unreadable(cases: Sequence[Case]) -> None:
    files = [path for case in cases for path in (*case.images, case.label)]
    others = [path.name for path in files if not path.name.endswith((".nii", ".nii.gz"))]
    if others:
        raise UsageError(f"MONAI reads only NIfTI files here, not {others[0]}. Choose other --data.")


def _write_split(split: Split, folder: Path) -> Path:
    path = folder / "split.json"
    folder.mkdir(parents=True)
    atomic.write_json(path, [{"train": list(split.train), "val": list(split.val)}])
    return path


def _arrange(
    ours: list[Work], theirs: list[Work], together: bool, cores: list[int]
) -> tuple[list[list[Work]], list[list[int] | None], str]:
    """Lanes of work, the cores of each, and a text that says both."""
    if not together:
        return (
            [[ours[0], *theirs, *ours[1:]]],
            [None],
            f"one after the other, each with all cores there are ({len(cores)})",
        )
    half = len(cores) // 2
    if not half:
        raise UsageError("--together needs two cores at least.")
    pinned = [cores[:half], cores[half : 2 * half]]
    description = f"at the same time, with {half} of {len(cores)} cores each (kept there where the system can do that)"
    return [ours, theirs], [*pinned], description


def _machine_text(material: Material, cores: Sequence[Sequence[int] | None]) -> str:
    if material.device.type != "cpu":
        return describe(material.device)
    used = len(cores[0] or usable_cores())
    return f"{used} {'core' if used == 1 else 'cores'} of {cpu_model()}"


def headline(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The minutes that we need for what the better of their runs reached.

    minutes: of our shortest job whose final label maps are as good; None where none is. validated_minutes: when one of
    our validations first was as good, whatever came of it.
    """
    aim = max(theirs, key=lambda one: one["mean_dice"])
    jobs = [one["minutes"] for one in ours if one["mean_dice"] >= aim["mean_dice"]]
    points = [point for one in ours for point in one["curve"] if point["mean_dice"] >= aim["mean_dice"]]
    needed = min(jobs) if jobs else None
    return {
        "dice": aim["mean_dice"],
        "their_minutes": aim["minutes"],
        "minutes": needed,
        "share": needed / aim["minutes"] if needed else None,
        "validated_minutes": min((point["minutes"] for point in points), default=None),
    }


def show(section: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    title = f"{section['data']}: Dice of {section['held_out']} held-out cases\n{section['how']}"
    table = Table(title=escape(title), caption=escape(f"{headline_text(section['headline'])}\n{section['figure']}"))
    table.add_column("What")
    for heading in ("Minutes", *section["classes"], "Mean"):
        table.add_column(escape(heading), justify="right", no_wrap=True)
    for one in sorted((*section["ours"], *section["theirs"]), key=lambda one: float(one["minutes"])):
        dice = [one["dice"].get(name) for name in section["classes"]] + [one["mean_dice"]]
        cells = ["-" if value is None else f"{value:.4f}" for value in dice]
        table.add_row(escape(one["name"]), f"{one['minutes']:.1f}", *cells)
    return table


def headline_text(headline: dict[str, Any]) -> str:
    """The result in a sentence."""
    aim = f"The {headline['dice']:.4f} that MONAI's recipe reaches in {headline['their_minutes']:.1f} minutes"
    if headline["minutes"] is None:
        return f"{aim} was reached by no job of ours."
    return f"{aim} takes us {headline['minutes']:.1f}: {headline['share']:.0%} of its time."
