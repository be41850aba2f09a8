"""Reads every case once: what is wrong with it, and what planning must know of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config import Auto
from MedSegTrainerLib.data.cases import Case
from MedSegTrainerLib.data.images import read_channels
from MedSegTrainerLib.data.label_maps import read_label_map
from MedSegTrainerLib.data.nifti import count_not_finite
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.geometry import Geometry, to_canonical

SAMPLES_PER_CASE = 5000
MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class CaseScan:
    """What one case is like, its axes in canonical (LPS) order.

    foreground: (channels, samples) intensities at up to 5000 labelled voxels, evenly spread.
    low, high: smallest and largest intensity of each channel. voxels: label value to count, background too, but
    not the voxels that nobody labelled.
    """

    name: str
    geometry: Geometry
    foreground: np.ndarray
    low: tuple[float, ...]
    high: tuple[float, ...]
    voxels: dict[int, int]


def thread_count(num_workers: int | Auto) -> int:
    """Cases worked on at the same time: 'auto' is a thread for each processor, at most 8; 0 is one, as 1 is."""
    return min(MOST_THREADS, os.cpu_count() or 1) if num_workers == "auto" else max(1, num_workers)


def scan_cases(
    cases: Sequence[Case],
    on_case: Callable[[], None] = lambda: None,
    *,
    num_workers: int | Auto = "auto",
    ignore_label: int | None = None,
) -> list[CaseScan]:
    """Scans of all cases, in their order; ``on_case`` is called after each.

    ignore_label: value of voxels that nobody labelled.

    Raises one DataError that lists what is wrong with every case.
    """
    scans: list[CaseScan] = []
    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=thread_count(num_workers)) as pool:
        for future in [pool.submit(scan_case, case, ignore_label) for case in cases]:
            try:
                scans.append(future.result())
            except DataError as error:
                problems.append(str(error))
            on_case()
    if scans and len({len(scan.low) for scan in scans}) > 1:
        counts = {len(scan.low): scan.name for scan in scans}
        told = ", ".join(f"{count} in {name}" for count, name in sorted(counts.items()))
        problems.append(f"The cases have different numbers of channels: {told}. Give all cases the same channels.")
    if problems:
        raise DataError(_listing(problems))
    if not any(value != 0 and count for scan in scans for value, count in scan.voxels.items()):
        ignored = "" if ignore_label is None else f" or data.ignore_label = {ignore_label}"
        raise DataError(
            f"No label map has a labelled voxel: all are 0{ignored}. Check that the right label files are in place."
        )
    return scans


def scan_case(case: Case, ignore_label: int | None = None) -> CaseScan:
    """Reads image and label of one case; raises DataError where they cannot be used together."""
    channels = read_channels(case.images)
    label = read_label_map(case.label)
    image_grid, label_grid = Geometry.of(channels[0]), Geometry.of(label)
    differences = image_grid.disagreements(label_grid)
    if differences:
        raise DataError(
            f"{case.name}: image and label lie on different grids ({'; '.join(differences)}). "
            f"Image: {image_grid}. Label: {label_grid}. Resample the label to the image, or export it again."
        )
    arrays = [sitk.GetArrayFromImage(to_canonical(channel)) for channel in channels]
    for path in case.images:
        _refuse_not_finite(path, count_not_finite(path))
    for index, array in enumerate(arrays):
        wrong = array.size - int(np.isfinite(array).sum()) if np.issubdtype(array.dtype, np.floating) else 0
        _refuse_not_finite(case.images[min(index, len(case.images) - 1)], wrong)
    labels = to_canonical(label)
    values = sitk.GetArrayViewFromImage(labels)
    found, counts = np.unique(values, return_counts=True)
    labelled = values != 0
    if ignore_label is not None:
        labelled &= values != ignore_label
    return CaseScan(
        name=case.name,
        geometry=Geometry.of(labels),
        foreground=_foreground_samples(arrays, labelled),
        low=tuple(float(array.min()) for array in arrays),
        high=tuple(float(array.max()) for array in arrays),
        voxels={int(value): int(n) for value, n in zip(found, counts, strict=True) if value != ignore_label},
    )


def _refuse_not_finite(path: Path, voxels: int) -> None:
    if voxels:
        raise DataError(
            f"{path}: {voxels} voxels are NaN or infinite. "
            "Replace them, for instance by the background intensity, and save the image again."
        )


def _foreground_samples(arrays: Sequence[np.ndarray], labelled: np.ndarray) -> np.ndarray:
    positions = np.flatnonzero(labelled.ravel())
    if positions.size == 0:
        positions = np.arange(labelled.size)
    count = min(positions.size, SAMPLES_PER_CASE)
    chosen = positions[np.linspace(0, positions.size - 1, count).astype(np.int64)]
    return np.stack([array.ravel()[chosen].astype(np.float32) for array in arrays])


def _listing(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    shown = "\n".join(f"  - {problem}" for problem in problems[:20])
    more = f"\n  ... and {len(problems) - 20} more" if len(problems) > 20 else ""
    return f"{len(problems)} problems with the data:\n{shown}{more}"
