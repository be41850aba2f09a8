"""One case as arrays for pictures: both label maps, and where they are there its image and its uncertainty."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.data.checks.known_part import known_part
from MedSegTrainerLib.data.checks.label_values import as_class
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import IGNORED, only_classes
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.imaging.label_grid import place_on_grid
from MedSegTrainerLib.imaging.label_maps import labelled_parts, read_label_pair
from MedSegTrainerLib.imaging.label_source import LabelSource, read_pair
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.metrics.known_voxels import without_unknown
from MedSegTrainerLib.metrics.units import Length, length_of


@dataclass(frozen=True, kw_only=True)
class CaseArrays:
    """One case near to LPS: int32 labels, float32 image and uncertainty as (z, y, x); the last two may be missing.

    spacing_zyx: in mm, or in pixels or voxels where ``length`` says so. overlapping: labels are ``class_bits``.
    labelled_along: axis of which only some slices are labelled in the reference, None for others; what is not labelled
    is 0 in both label maps.
    """

    prediction: np.ndarray
    reference: np.ndarray
    image: np.ndarray | None
    spacing_zyx: tuple[float, float, float]
    uncertainty: np.ndarray | None = None
    length: Length = "mm"
    overlapping: bool = False
    labelled_along: int | None = None


def read_case(
    files: Mapping[str, str | None],
    values: Sequence[int],
    ignore_label: int | None = None,
    segment_values: Mapping[str, int] | None = None,
    not_drawn: Collection[int] = (),
    form: Sequence[Mapping[str, Any]] | None = None,
) -> CaseArrays:
    """Reads ``prediction``, ``reference`` and, where they are there and fit, ``image`` and ``uncertainty``.

    Labels other than ``values`` become 0, and both sides where the reference has ``ignore_label``. not_drawn: values of
    the classes that nobody looked for in the reference; they are not shown where it has no class. form:
    ``LabelSource.to_json`` of prediction and reference, where these are no label maps with one value a class.
    An image that cannot be read or lies elsewhere is left out.
    """
    sources = [LabelSource.from_json(side) for side in form or ()]
    paths = Path(files["prediction"] or ""), Path(files["reference"] or "")
    predicted, expected = read_pair(sources[0], sources[1]) if sources else read_label_pair(*paths, segment_values)
    ignore_label, overlapping = (IGNORED, sources[0].overlapping) if sources else (ignore_label, False)
    sides = [sitk.GetArrayFromImage(to_canonical(item)) for item in (predicted, expected)]
    parts = labelled_parts(sides[0], sides[1], ignore_label)
    prediction, reference = (as_class(side, values) for side in parts)
    prediction = without_unknown(prediction, reference, not_drawn, overlapping=overlapping)
    geometry = Geometry.of(to_canonical(expected))
    return CaseArrays(
        prediction=_of_classes(prediction, values, overlapping),
        reference=_of_classes(reference, values, overlapping),
        image=_read_onto(files.get("image"), expected, paths[1]),
        spacing_zyx=geometry.spacing_zyx,
        uncertainty=_read_onto(files.get("uncertainty"), expected, paths[1]),
        length=length_of(paths[1], expected),
        overlapping=overlapping,
        labelled_along=None if ignore_label is None else labelled_along(sides[1] != ignore_label),
    )


def labelled_along(known: np.ndarray) -> int | None:
    """The axis along which slices are labelled, of a mask (z, y, x) near to LPS of what is."""
    part = known_part(known)
    return "zyx".index(part.axis) if part is not None and part.is_of_slices else None


def _of_classes(labels: np.ndarray, values: Sequence[int], overlapping: bool) -> np.ndarray:
    return only_classes(labels, values) if overlapping else np.where(np.isin(labels, values), labels, 0)


def _read_onto(path: str | None, grid: sitk.Image, grid_path: Path) -> np.ndarray | None:
    """The first channel near to LPS, None where it does not lie on the grid."""
    if path is None:
        return None
    try:
        volume = read_channels([Path(path)])[0]
    except DataError:
        return None
    image = place_on_grid(volume, Path(path), grid, grid_path, is_label=False).image
    if Geometry.of(image).disagreements(Geometry.of(grid)):
        return None
    array: np.ndarray = np.nan_to_num(sitk.GetArrayFromImage(to_canonical(image)).astype(np.float32))
    return array
