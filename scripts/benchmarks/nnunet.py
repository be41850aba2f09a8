"""A training step: ours against that of nnU-Net's own trainer, each process by itself, in turn.

nnU-Net has an environment of its own (``nnunet.txt``) and makes its own plan of the same data. Told are the steps as
each plans itself, and then both on nnU-Net's plan with the same network, patch and batch.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import environment
import numpy as np
import SimpleITK as sitk
from rich.markup import escape
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.material import Material
from benchmarks.nnunet_steps import NnunetSteps
from benchmarks.timing import Comparison, Side, compare
from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.checks.fingerprint import take_fingerprint
from MedSegTrainerLib.data.checks.scan import scan_cases
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.phantom import write_phantoms
from MedSegTrainerLib.data.samples.preprocess import class_indices
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.errors import MedSegError, UsageError
from MedSegTrainerLib.imaging.label_maps import read_label_map_onto
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.imaging.write import write_volume
from MedSegTrainerLib.planning.planner import make_plan
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.time_budget import DEFAULT_BUDGET

FOLDER = Path(__file__).resolve().parent
PLANNED_ON = 20  # cases; the size of the whole data set, on which nnU-Net's batch depends, is told as it is
PHANTOMS, SMOKE_PHANTOMS = 8, 2
OLDEST_PYTHON = (3, 11)  # of the packages in nnunet.txt
NETWORK = "PlainConvUNet"  # nnU-Net's name of its default
VARIANTS = ("compiled", "bfloat16")  # of nnU-Net's step, which on CPUs does neither by itself
MOST_VARIANT_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Task:
    """What both sides plan on: the first cases of a data set, of which there are ``total``, and our plan of them."""

    dataset: Dataset
    total: int
    plan: Plan


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Raises MedSegError, or says {'left_out': why} where it is not the only part of a run: the others count too."""
    alone = list(arguments.only) == ["nnunet"]
    if material.smoke and not alone:
        return {"left_out": "nnU-Net is not installed for a smoke run; --only nnunet does it"}
    try:
        return measure(
            material, arguments.data, arguments.rounds, [python_of_nnunet(), str(FOLDER / "nnunet_process.py")]
        )
    except MedSegError as error:
        if alone:
            raise
        print(f"nnunet is left out. {error}", file=sys.stderr)
        return {"left_out": str(error)}


def measure(material: Material, data: Path | None, rounds: int, command: Sequence[str]) -> dict[str, Any]:
    """The section. command: starts what answers as ``nnunet_process.py`` does. Raises MedSegError."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        task = _task(material, data, folder / "phantoms")
        _write_dataset(task, folder / "raw" / "Dataset001_Bench")
        print("nnU-Net plans for the same data ...", flush=True)
        with NnunetSteps(command, folder, material.device) as theirs:
            plan = _their_plan(task.plan, theirs.facts)
            own = _row("nnunet", "step as each plans itself", material, task.plan, theirs, rounds)
            same = _row("nnunet-same", "step on nnU-Net's plan, the same network", material, plan, theirs, rounds)
            steps = min(rounds, MOST_VARIANT_STEPS)
            names = VARIANTS if material.device.type == "cpu" else ()
            variants = [_variant(name, theirs, steps, same["ours"]["median_ms"]) for name in names]
        return {"theirs": theirs.facts, "cases": len(task.dataset.cases), "rows": [own, same], "variants": variants}


def show(section: dict[str, Any]) -> Table | str:
    if "left_out" in section:
        return escape(f"nnunet was left out: {section['left_out']}")
    facts = section["theirs"]
    threads = f"{facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"
    title = (
        f"Training step against nnU-Net {facts['versions']['nnunetv2']}, torch {facts['versions']['torch']}, "
        f"{threads} each; both planned on the same {section['cases']} cases"
    )
    table = Table(title=title, show_lines=True, caption="\n".join(map(_variant_text, section["variants"])))
    table.add_column("What")
    for heading in ("Ours", "nnU-Net", "Faster"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in section["rows"]:
        sides = row["ours"], row["theirs"]
        what = f"[bold]{row['name']}[/]: {escape(row['work'])}\n" + "\n".join(f"- {escape(s['name'])}" for s in sides)
        rates = [f"{1000 * s['voxels'] / s['median_ms']:,.0f}" for s in sides]
        table.add_row(what, *(f"{s['median_ms'] / 1000:.3f} s" for s in sides), f"{row['ratio']:.2f} x a step")
        table.add_row("patches a second", *(f"{s['patches_a_second']:.2f}" for s in sides), f"{row['per_patch']:.2f} x")
        table.add_row("voxels a second", *rates, f"{row['per_voxel']:.2f} x")
        table.add_row("GFLOP a step", *(f"{s['gflop']:.1f}" for s in sides), f"{row['per_gflop']:.2f} x a GFLOP")
    return table


def _variant_text(variant: dict[str, Any]) -> str:
    if "failed" in variant:
        return escape(f"nnU-Net's step {variant['name']}: {variant['failed']}")
    return (
        f"nnU-Net's step {variant['name']}, which it does not do by itself on a CPU: "
        f"{variant['median_ms'] / 1000:.3f} s; ours on the same network is {variant['ratio']:.2f} x as fast"
    )


def python_of_nnunet() -> str:
    """Of nnU-Net's environment; raises UsageError where it cannot be made."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise UsageError("nnU-Net's packages need Python {}.{} or newer.".format(*OLDEST_PYTHON))
    try:
        return environment.ensure_apart(FOLDER / "nnunet.txt")
    except environment.NotMadeError as error:
        raise UsageError(f"There is no environment for nnU-Net. {error}") from None


def _task(material: Material, data: Path | None, folder: Path) -> Task:
    if data is None:
        write_phantoms(folder, train=SMOKE_PHANTOMS if material.smoke else PHANTOMS, held_out=0)
    dataset = find_cases(data or folder / "train")
    total = len(dataset.cases)
    dataset = replace(dataset, cases=dataset.cases[:PLANNED_ON])
    names = tuple(case.name for case in dataset.cases)
    plan = make_plan(
        take_fingerprint(dataset, scan_cases(dataset.cases)),
        material.config,
        Split(train=names, val=(), test=(), reason="nothing is trained"),
        material.device,
        parse_duration(DEFAULT_BUDGET),
    )
    return Task(dataset=dataset, total=total, plan=plan)


def _write_dataset(task: Task, folder: Path) -> None:
    """The cases as nnU-Net wants them: a file for each channel, and label values without gaps."""
    for number, case in enumerate(task.dataset.cases):
        channels = read_channels(case.images)
        for index, channel in enumerate(channels):
            write_volume(channel, folder / "imagesTr" / f"case{number:03}_{index:04}.nii.gz")
        values = read_label_map_onto(case.label, channels[0], case.segment_values, case.images[0])
        labels = sitk.GetImageFromArray(class_indices(sitk.GetArrayViewFromImage(values), task.plan))
        labels.CopyInformation(values)
        write_volume(labels, folder / "labelsTr" / f"case{number:03}.nii.gz")
    classes = {item.name: index for index, item in enumerate(task.plan.classes, start=1)}
    description = {
        "channel_names": {str(i): _channel(task.plan, i) for i in range(len(task.plan.normalization))},
        "labels": {"background": 0, **classes},
        "numTraining": task.total,
        "file_ending": ".nii.gz",
    }
    atomic.write_json(folder / "dataset.json", description)


def _channel(plan: Plan, index: int) -> str:
    """By its name nnU-Net knows a channel of CT."""
    return "CT" if plan.normalization[index].method == "ct" else f"channel {index}"


def _their_plan(plan: Plan, facts: dict[str, Any]) -> Plan:
    """Ours with nnU-Net's network, patch and batch; the arithmetic, loss and optimizer stay ours."""
    if facts["network"] != NETWORK:
        raise MedSegError(f"nnU-Net planned a {facts['network']}, and this comparison knows {NETWORK} only.")
    kwargs, strides = facts["kwargs"], facts["kwargs"]["strides"]
    network = {
        "dims": 3,
        "in_channels": facts["in_channels"],
        "out_channels": facts["out_channels"],
        "features": kwargs["features_per_stage"],
        "strides": strides,
        "kernels": kwargs["kernel_sizes"],
        "blocks": kwargs["n_conv_per_stage"],
        "decoder_blocks": kwargs["n_conv_per_stage_decoder"][::-1],
        "deep_supervision": True,
    }
    z, y, x = (math.prod(axis) for axis in zip(*strides, strict=True))
    patch = facts["patch_size"]
    return replace(
        plan,
        architecture=NETWORK,
        network=network,
        patch_size=(patch[0], patch[1], patch[2]),
        divisor=(z, y, x),
        batch_size=facts["batch_size"],
    )


def _row(name: str, work: str, material: Material, plan: Plan, theirs: NnunetSteps, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step of both, what they did in it, and how much faster ours is by each measure."""
    learner = Learner(plan, material.config, material.device)
    images, labels = replace(material, plan=plan).batch(plan.patch_size, np.random.default_rng(0))
    batch = (images, labels.clamp(min=0))  # what lies outside the volume is background, as nnU-Net has it
    with FlopCounterMode(display=False) as counter:
        learner.step([batch], 1, 1e-4)
    facts = theirs.facts
    names = _our_name(learner), _their_name(facts)
    print(f"{name}: {work} ...", flush=True)
    ours = Side(name=names[0], run=lambda: learner.step([batch], 1, 1e-4))
    comparison = Comparison(
        name=name, work=work, ours=ours, theirs=Side(name=names[1], run=lambda: theirs.step("plain"))
    )
    row = compare(comparison, rounds, material.device)
    inside = theirs.seconds["plain"][-rounds:]  # by their own clock, without the way here and back
    row["theirs"]["inside_ms"] = 1000 * statistics.median(inside)
    _count(row["ours"], plan.batch_size, plan.patch_size, counter.get_total_flops() / 1e9)
    _count(row["theirs"], facts["batch_size"], facts["patch_size"], facts["gflop"])
    for key, unit in (("per_patch", "patches"), ("per_voxel", "voxels"), ("per_gflop", "gflop")):
        row[key] = row["ratio"] * row["ours"][unit] / row["theirs"][unit]
    return row


def _count(side: dict[str, Any], patches: int, patch_size: Sequence[int], gflop: float) -> None:
    side |= {
        "patches": patches,
        "patch_size": list(patch_size),
        "voxels": patches * math.prod(patch_size),
        "gflop": gflop,
        "patches_a_second": 1000 * patches / side["median_ms"],
    }


def _our_name(learner: Learner) -> str:
    plan = learner.plan
    arithmetic = str(learner.precision.dtype).removeprefix("torch.") if learner.precision.enabled else "float32"
    return (
        f"MedSegTrainer: {plan.architecture} {plan.network['features']}, batch {plan.batch_size} of "
        f"{_times(plan.patch_size)}, {arithmetic}{', channels-last' if plan.channels_last else ''}, "
        f"fused {plan.optimizer_type}, clipping, average of weights"
    )


def _their_name(facts: dict[str, Any]) -> str:
    compiled = "compiled, " if facts["compiles"] else ""
    return (
        f"nnUNetTrainer.train_step: {facts['network']} {facts['kwargs']['features_per_stage']}, batch "
        f"{facts['batch_size']} of {_times(facts['patch_size'])}, {compiled}as it is, {facts['optimizer']}, clipping"
    )


def _variant(name: str, theirs: NnunetSteps, steps: int, ours_ms: float) -> dict[str, Any]:
    print(f"nnU-Net's step {name} ...", flush=True)
    try:
        for _ in range(1 + steps):  # the first compiles, or chooses kernels
            theirs.step(name)
    except MedSegError as error:
        return {"name": name, "failed": str(error)}
    times = [1000 * seconds for seconds in theirs.seconds[name][1:]]
    median = statistics.median(times)
    return {"name": name, "times_ms": times, "median_ms": median, "ratio": median / ours_ms}


def _times(size: Sequence[int]) -> str:
    return " x ".join(str(n) for n in size)
