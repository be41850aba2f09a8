"""A model of nnU-Net applied to the same images by nnU-Net itself and by ours: how equal, and how much faster.

nnU-Net runs in its own environment (``nnunet.txt``), each side alone and in turn with the same number of threads.
Timed are reading, predicting and writing; not the start of a process and the loading of a model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from rich.markup import escape
from rich.table import Table

from benchmarks.material import Material
from benchmarks.nnunet import FOLDER, python_of_nnunet
from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import MedSegError, UsageError
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.imaging.write import write_volume
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.tta import choose_transforms
from MedSegTrainerLib.model.package import load_members

WAYS = {"once": False, "mirrored": True}  # whether images are also seen mirrored, which nnU-Net does by default


@dataclass(frozen=True, kw_only=True)
class Images:
    """A folder of images with nnU-Net's names, and the files of each case: one a channel."""

    folder: Path
    files: dict[str, tuple[Path, ...]]


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Raises MedSegError."""
    if arguments.model is None or arguments.data is None:
        raise UsageError("'nnunet-apply' applies a model of nnU-Net: give --model, its folder, and --data with images.")
    command = [python_of_nnunet(), str(FOLDER / "nnunet_predict.py")]
    return measure(arguments.model, arguments.data, arguments.cases, arguments.rounds, material.device, command)


def measure(
    model: Path, data: Path, cases: int, rounds: int, device: torch.device, command: Sequence[str]
) -> dict[str, Any]:
    """The section. command: starts what answers as ``nnunet_predict.py`` does. Raises MedSegError."""
    with tempfile.TemporaryDirectory() as temporary:
        images = _images(data, Path(temporary) / "images", cases)
        rows = []
        for name, is_mirrored in WAYS.items():
            print(f"nnunet-apply: {name} ...", flush=True)
            places = [Path(temporary) / f"{side}-{name}" for side in ("ours", "theirs")]
            times: list[tuple[float, float]] = []
            for _ in range(rounds):
                ours = _ours(model, images, places[0], device, mirrored=is_mirrored)
                theirs = _theirs([*command, str(model), str(int(is_mirrored)), str(device)], images, places[1])
                times.append((ours, theirs))
            rows.append({"name": name, **_equality(images, *places), **_ratio(times)})
    return {"model": model.name, "data": data.name, "cases": len(images.files), "rows": rows}


def show(section: dict[str, Any]) -> Table:
    table = Table(title=f"{escape(section['model'])} on {section['cases']} images of {escape(section['data'])}")
    for heading in ("Images are seen", "Equal voxels", "Least of an image", "Ours", "nnU-Net", "Faster"):
        table.add_column(heading, justify="left" if heading.startswith("Images") else "right")
    for row in section["rows"]:
        seconds = (f"{row[side]:.2f} s" for side in ("ours_s", "theirs_s"))
        table.add_row(row["name"], f"{row['equal']:.3%}", f"{row['least']:.3%}", *seconds, f"{row['ratio']:.2f} x")
    return table


def _images(data: Path, folder: Path, cases: int) -> Images:
    """The first cases, as files that nnU-Net reads whatever they were."""
    files = {}
    for case in find_cases(data).cases[:cases]:
        names = [folder / f"{case.name}_{index:04}.nii.gz" for index in range(len(read_channels(case.images)))]
        for channel, name in zip(read_channels(case.images), names, strict=True):
            write_volume(channel, name)
        files[case.name] = tuple(names)
    return Images(folder=folder, files=files)


def _ours(model: Path, images: Images, output: Path, device: torch.device, *, mirrored: bool) -> float:
    """Seconds for all images."""
    packages = load_members(model)
    plans = [package.plan for package in packages]
    predictor = Predictor(packages, device, transforms=choose_transforms(ApplyConfig(tta=mirrored), plans)[0])
    started = time.perf_counter()
    for name, files in images.files.items():
        write_volume(predictor.predict(read_channels(files)), output / f"{name}.nii.gz")
    return time.perf_counter() - started


def _theirs(command: Sequence[str], images: Images, output: Path) -> float:
    """Seconds for all images; raises MedSegError where the other process ends badly."""
    output.mkdir(parents=True, exist_ok=True)
    threads = str(torch.get_num_threads())
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    done = subprocess.run(
        [*command, threads, str(images.folder), str(output)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MedSegError(f"nnU-Net could not apply its model:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _equality(images: Images, ours: Path, theirs: Path) -> dict[str, float]:
    """Shares of voxels with the same label, of all images and of the least equal one."""
    equal = []
    for name in images.files:
        first, second = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(side / f"{name}.nii.gz"))) for side in (ours, theirs)
        )
        equal.append((np.count_nonzero(first == second), first.size))
    return {
        "equal": sum(same for same, _ in equal) / sum(total for _, total in equal),
        "least": min(same / total for same, total in equal),
    }


def _ratio(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    ours, theirs = (statistics.median(side) for side in zip(*times, strict=True))
    return {"ours_s": ours, "theirs_s": theirs, "ratio": theirs / ours}
