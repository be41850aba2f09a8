"""Slices of a case as they lie on the screen.

Display convention is radiological: the patient's right is on the left of the screen, anterior and superior
are up. Arrays are (z, y, x) of a volume brought near to LPS, so x grows to Left, y to Posterior, z to Superior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MedSegTrainerLib.imaging.class_bits import where_class
from MedSegTrainerLib.report.case_arrays import CaseArrays

MARGIN_MM = 12.0
Box = tuple[slice, slice, slice]
WHOLE: Box = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, kw_only=True)
class Plane:
    """How a plane is cut and shown: ``axis`` is the one looked along, in (z, y, x).

    letters: left, right, top and bottom of the screen. The row axis is flipped where it would grow downwards.
    """

    name: str
    axis: int
    flipped: bool
    letters: str


PLANES = (
    Plane(name="axial", axis=0, flipped=False, letters="RLAP"),
    Plane(name="coronal", axis=1, flipped=True, letters="RLSI"),
    Plane(name="sagittal", axis=2, flipped=True, letters="APSI"),
)


@dataclass(frozen=True, kw_only=True)
class View:
    """One slice, cropped and flipped for the screen. Arrays are (rows, columns), ``size_mm`` is (height, width)."""

    plane: Plane
    position: str
    prediction: np.ndarray
    reference: np.ndarray
    image: np.ndarray | None
    uncertainty: np.ndarray | None
    size_mm: tuple[float, float]
    oriented: bool
    overlapping: bool = False

    def where(self, labels: np.ndarray, value: int) -> np.ndarray:
        """Where a class is in one of its label maps."""
        return where_class(labels, value, self.overlapping)


def case_views(case: CaseArrays, *, whole: bool = False) -> list[View]:
    """The slices with the most reference (or prediction, where there is none), ``whole`` or cropped around the labels.

    Planes in which the volume is a single line are left out: a 2D image has one view.
    """
    labels = _displayed_labels(case)
    box = WHOLE if whole else label_box(case)
    views = []
    for plane in PLANES:
        if min(case.reference.shape[axis] for axis in _across(plane)) == 1:
            continue
        counts = np.count_nonzero(labels, axis=_across(plane))
        index = int(np.argmax(counts)) if counts.any() else len(counts) // 2
        views.append(cut(case, plane, index, box))
    return views


def slice_views(case: CaseArrays, count: int) -> list[View]:
    """At most ``count`` slices at equal steps through all labels, from the first in the order of the axis.

    They lie in the plane of the slices that are labelled, else of the thickest ones, the one in which the volume was
    taken; [] for a 2D image.
    """
    planes = [plane for plane in PLANES if min(case.reference.shape[axis] for axis in _across(plane)) > 1]
    planes = [plane for plane in planes if case.reference.shape[plane.axis] > 1]
    if not planes:
        return []
    drawn = [plane for plane in planes if plane.axis == case.labelled_along]
    plane = max(drawn or planes, key=lambda plane: case.spacing_zyx[plane.axis])  # of equal ones the first: axial
    labelled = (case.prediction != 0) | (case.reference != 0)
    used = np.flatnonzero(labelled.any(axis=_across(plane)))
    if not used.size:
        return []
    steps = np.linspace(used[0], used[-1], count).round().astype(int)
    if drawn:  # between labelled slices is nothing to see
        steps = used[np.abs(used - steps[:, None]).argmin(axis=1)]
    indices = np.unique(steps)
    box = label_box(case)
    return [cut(case, plane, int(index), box) for index in indices]


def label_box(case: CaseArrays) -> Box:
    """Around all labels with a margin; the whole volume when there are none."""
    labelled = (case.prediction != 0) | (case.reference != 0)
    box = []
    for axis in range(3):
        across = tuple(other for other in range(3) if other != axis)
        indices = np.flatnonzero(labelled.any(axis=across))
        size = labelled.shape[axis]
        low, high = (int(indices[0]), int(indices[-1]) + 1) if indices.size else (0, size)
        margin = max(2, round(MARGIN_MM / case.spacing_zyx[axis]))
        box.append(slice(max(0, low - margin), min(size, high + margin)))
    return box[0], box[1], box[2]


def cut(case: CaseArrays, plane: Plane, index: int, box: Box) -> View:
    """The slice ``index`` of a plane, its part inside ``box``."""
    across = _across(plane)
    window = (box[across[0]], box[across[1]])

    def part(volume: np.ndarray) -> np.ndarray:
        pixels: np.ndarray = volume.take(index, axis=plane.axis)[window]
        return pixels[::-1] if plane.flipped else pixels

    prediction = part(case.prediction)
    count = case.reference.shape[plane.axis]
    return View(
        plane=plane,
        position=f"{plane.name} {index + 1}/{count}" if count > 1 else "",
        prediction=prediction,
        reference=part(case.reference),
        image=None if case.image is None else part(case.image),
        uncertainty=None if case.uncertainty is None else part(case.uncertainty),
        size_mm=(
            prediction.shape[0] * case.spacing_zyx[across[0]],
            prediction.shape[1] * case.spacing_zyx[across[1]],
        ),
        oriented=count > 1,  # a single slice may be a photograph, whose sides have no names
        overlapping=case.overlapping,
    )


def _displayed_labels(case: CaseArrays) -> np.ndarray:
    return case.reference if case.reference.any() else case.prediction


def _across(plane: Plane) -> tuple[int, int]:
    first, second = (axis for axis in range(3) if axis != plane.axis)
    return first, second
