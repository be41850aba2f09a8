"""Planes in the order in which they lie along their normal, evenly and straight, or words about why they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MedSegTrainerLib.errors import DataError

UNEVEN = 0.1  # of the distance between slices
SHIFTED = 0.5  # of a pixel
SAME_PLACE = 1e-3  # mm


@dataclass(frozen=True, kw_only=True)
class Planes:
    """Parallel planes of one size, in any order.

    names: of their files or frames. positions: (n, 3) LPS mm of their first pixels. row, column: directions in which
    the indices of columns and of rows grow. pixel: mm, the smaller side.
    """

    names: Sequence[str]
    positions: np.ndarray
    row: np.ndarray
    column: np.ndarray
    pixel: float

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.row, self.column)


def in_order(planes: Planes, path: Path) -> tuple[list[int], float]:
    """Indices of the planes along their normal, and the distance between them in mm.

    Raises DataError, which names ``path``, where two lie at one place, some are missing, lie unevenly or are tilted.
    """
    normal = planes.normal
    order = np.argsort(planes.positions @ normal, kind="stable")
    positions = planes.positions[order]
    along = positions @ normal
    gaps = np.diff(along)
    if gaps.min() < SAME_PLACE:
        raise DataError(
            f"{path}: {int((gaps < SAME_PLACE).sum())} slices lie where another one lies (first: "
            f"{planes.names[order[int(gaps.argmin()) + 1]]}). Are there several time points or echoes? Keep one of "
            "them."
        )
    _refuse_gaps([planes.names[index] for index in order], along, gaps, path)
    refuse_tilt(positions, normal, planes.pixel, path)
    return order.tolist(), float((along[-1] - along[0]) / (len(order) - 1))


def refuse_tilt(positions: np.ndarray, normal: np.ndarray, pixel: float, path: Path) -> None:
    """Raises DataError where planes do not lie straight above each other."""
    offsets = positions - positions[0]
    drift = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1)
    if drift.max() > SHIFTED * pixel:
        raise DataError(
            f"{path}: the slices are shifted against each other by up to {drift.max():.2f} mm (a tilted gantry). "
            "Resample the series to a straight volume, for instance in 3D Slicer, and give that."
        )


def _refuse_gaps(names: Sequence[str], along: np.ndarray, gaps: np.ndarray, path: Path) -> None:
    typical = float(np.median(gaps))
    expected = along[0] + np.arange(len(along)) * (along[-1] - along[0]) / (len(along) - 1)
    if np.abs(along - expected).max() <= UNEVEN * typical:
        return
    wide = int(gaps.argmax())
    between = f"between {names[wide]} and {names[wide + 1]}"
    if gaps[wide] > 1.5 * typical:
        raise DataError(
            f"{path}: slices are missing {between}: {gaps[wide]:.4g} mm apart, and {typical:.4g} mm elsewhere. "
            "Add them, or export the whole series again."
        )
    raise DataError(
        f"{path}: the slices lie unevenly, {gaps.min():.4g} to {gaps.max():.4g} mm apart (widest {between}). "
        "Resample the series to even slices, for instance in 3D Slicer, and give that."
    )
