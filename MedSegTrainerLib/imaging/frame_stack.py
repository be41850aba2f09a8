"""Where the frames of a DICOM object lie: the grid that they are slices of, and the slice of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_dataset import FunctionalGroups
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.plane_order import UNEVEN, Planes, refuse_tilt

ONE_PLANE = 1e-2  # mm; frames of several segments lie at one place
PARALLEL = 1e-4  # of direction cosines


@dataclass(frozen=True, kw_only=True)
class FrameStack:
    """slices: of each frame, the index of its slice in ``grid``, whose z axis is the normal of the frames."""

    grid: Geometry
    slices: tuple[int, ...]


def frame_planes(dataset: pydicom.Dataset, path: Path) -> tuple[Planes, tuple[float, float]]:
    """The planes of all frames, and the spacing of columns and rows (x, y) in mm.

    Raises DataError where one does not tell where it lies, or they are not parallel and of one size.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    groups = FunctionalGroups(dataset)
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise DataError(f"{path} has no size (Rows, Columns). Export it again.")
    if not 1 <= count <= max(1, len(groups.frames)):
        raise DataError(
            f"{path} has {count} frames by its header, and tells of {len(groups.frames)} where they lie. Export it "
            "again."
        )
    places = (
        ("PlanePositionSequence", "ImagePositionPatient", 3, "Image Position"),
        ("PlaneOrientationSequence", "ImageOrientationPatient", 6, "Image Orientation"),
        ("PixelMeasuresSequence", "PixelSpacing", 2, "Pixel Spacing"),
    )
    found = {keyword: [groups.numbers(frame, sequence, keyword, size) for frame in range(count)]
             for sequence, keyword, size, _ in places}  # fmt: skip
    missing = [name for _, keyword, _, name in places if any(value is None for value in found[keyword])]
    if missing:
        raise DataError(f"{path}: its frames do not tell where they lie ({', '.join(missing)}). Export it again.")
    positions, axes, pixels = (np.array(found[keyword]) for _, keyword, _, _ in places)
    if np.ptp(axes, axis=0).max() > 1e-2 or np.ptp(pixels, axis=0).max() > 1e-3 * pixels.max() or pixels.min() <= 0:
        raise DataError(
            f"{path}: its frames do not lie parallel with pixels of one size, so that they are no volume. Export each "
            "volume as a file or series of its own."
        )
    row, column = axes[0][:3], axes[0][3:]
    _refuse_skew(row, column, path)
    names = [f"frame {frame + 1}" for frame in range(count)]
    planes = Planes(names=names, positions=positions, row=row, column=column, pixel=float(pixels[0].min()))
    return planes, (float(pixels[0][1]), float(pixels[0][0]))


def _refuse_skew(row: np.ndarray, column: np.ndarray, path: Path) -> None:
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > 1e-3 or abs(float(row @ column)) > 1e-3:
        raise DataError(f"{path}: its Image Orientation is no pair of right-angled directions. Export it again.")


def stack_frames(dataset: pydicom.Dataset, path: Path, grid: Geometry | None = None) -> FrameStack:
    """The grid of frames that need not be at every slice, nor at one alone.

    The distance between slices is that of ``grid`` where all frames lie on its slices, else what the object says, else
    the smallest between two frames. Raises DataError where frames lie between slices.
    """
    planes, spacing = frame_planes(dataset, path)
    refuse_tilt(planes.positions, planes.normal, planes.pixel, path)
    along = planes.positions @ planes.normal
    offsets = along - along.min()
    step = _step(dataset, offsets, planes.normal, grid)
    slices = np.rint(offsets / step)
    if np.abs(offsets / step - slices).max() > UNEVEN:
        raise DataError(
            f"{path}: its frames lie unevenly, and not at multiples of {step:.4g} mm. Export it again on the grid of "
            "its image."
        )
    first = planes.positions[int(along.argmin())]
    axes = np.column_stack([planes.row, planes.column, planes.normal])
    return FrameStack(
        grid=Geometry(
            size=(int(dataset.Columns), int(dataset.Rows), int(slices.max()) + 1),
            spacing=(*spacing, step),
            origin=(float(first[0]), float(first[1]), float(first[2])),
            direction=tuple(axes.ravel().tolist()),
        ),
        slices=tuple(slices.astype(int).tolist()),
    )


def _step(dataset: pydicom.Dataset, offsets: np.ndarray, normal: np.ndarray, grid: Geometry | None) -> float:
    """The distance between slices in mm."""
    places = np.unique(np.rint(offsets / ONE_PLANE)) * ONE_PLANE
    gaps = np.diff(places)
    told = [_along(grid, normal)] if grid is not None else []
    measures = FunctionalGroups(dataset).item(0, "PixelMeasuresSequence")
    told += [measures.get("SpacingBetweenSlices")]
    for value in told:
        step = abs(float(value or 0))
        if step > ONE_PLANE and np.abs(offsets / step - np.rint(offsets / step)).max() <= UNEVEN:
            return step
    if gaps.size:
        return float(gaps.min())
    return abs(float(measures.get("SliceThickness") or 0)) or 1.0


def _along(grid: Geometry, normal: np.ndarray) -> float:
    """The distance between slices of a grid along a direction; 0 where none of its axes is parallel to it."""
    cosines = np.abs(normal @ np.array(grid.direction).reshape(3, 3))
    return grid.spacing[int(cosines.argmax())] if cosines.max() > 1 - PARALLEL else 0.0
