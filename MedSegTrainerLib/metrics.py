"""How well a prediction agrees with a reference: the numbers for one class of one case, and their summary.

What the numbers are when a class is missing from one side (None: not defined, left out of every mean):

    reference  prediction  outcome  dice  iou  precision  recall  distances  volumes
    there      there       found    all defined
    there      empty       missed   0     0    None       0       None       defined
    empty      there       extra    0     0    0          None    None       defined
    empty      empty       absent   None  None None       None    None       None

scipy is only imported when surfaces are measured: training needs the Dice alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from MedSegTrainerLib.surface import SurfaceDistances

Values = dict[str, float | None]
Outcome = Literal["found", "missed", "extra", "absent"]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """One class of one case. Counts are voxels; ``surfaces`` is None unless both sides have the class."""

    intersection: int
    predicted: int
    reference: int
    voxel_ml: float
    surfaces: SurfaceDistances | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number for an ``Overlap`` and how to show it. ``better``: which direction is good, '' for neither."""

    title: str
    unit: str
    decimals: int
    better: Literal["higher", "lower", ""]
    meaning: str
    measure: Callable[[Overlap], float | None]


def dice_from_counts(intersection: float, predicted: float, reference: float) -> float | None:
    """Dice = 2 |P and R| / (|P| + |R|) from voxel counts; None when both sides are empty.

    Source: Dice 1945, doi:10.2307/1932409.
    """
    return _ratio(2 * intersection, predicted + reference)


METRICS: dict[str, Metric] = {
    "dice": Metric(
        title="Dice",
        unit="",
        decimals=3,
        better="higher",
        meaning="Overlap of prediction and reference: 1 is perfect overlap, 0 none.",
        measure=lambda it: dice_from_counts(it.intersection, it.predicted, it.reference),
    ),
    "iou": Metric(
        title="IoU",
        unit="",
        decimals=3,
        better="higher",
        meaning="Overlap divided by the union of both (Jaccard index): 1 is perfect, and it is never above Dice.",
        measure=lambda it: _ratio(it.intersection, it.predicted + it.reference - it.intersection),
    ),
    "precision": Metric(
        title="Precision",
        unit="",
        decimals=3,
        better="higher",
        meaning="How much of what was predicted is right; low when the prediction is too large.",
        measure=lambda it: _ratio(it.intersection, it.predicted),
    ),
    "recall": Metric(
        title="Recall",
        unit="",
        decimals=3,
        better="higher",
        meaning="How much of the reference was found (sensitivity); low when the prediction is too small.",
        measure=lambda it: _ratio(it.intersection, it.reference),
    ),
    "hd95_mm": Metric(
        title="HD95",
        unit="mm",
        decimals=2,
        better="lower",
        meaning="95 % of each surface lies no farther than this from the other surface; 0 is perfect.",
        measure=lambda it: it.surfaces.hd95() if it.surfaces else None,
    ),
    "asd_mm": Metric(
        title="ASD",
        unit="mm",
        decimals=2,
        better="lower",
        meaning="How far apart the two surfaces are on average; 0 is perfect.",
        measure=lambda it: it.surfaces.asd() if it.surfaces else None,
    ),
    "volume_ml": Metric(
        title="Reference volume",
        unit="mL",
        decimals=2,
        better="",
        meaning="Volume of the structure in the reference.",
        measure=lambda it: it.reference * it.voxel_ml if it.predicted or it.reference else None,
    ),
    "predicted_volume_ml": Metric(
        title="Predicted volume",
        unit="mL",
        decimals=2,
        better="",
        meaning="Volume of the structure in the prediction.",
        measure=lambda it: it.predicted * it.voxel_ml if it.predicted or it.reference else None,
    ),
}

ALIASES = {"hd95": "hd95_mm", "asd": "asd_mm", "sensitivity": "recall", "jaccard": "iou", "volume": "volume_ml"}


def metric_key(name: str) -> str:
    """The key of ``METRICS`` that a name as people write it stands for; raises ConfigError."""
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    if key not in METRICS:
        raise ConfigError([f"'{name}' is no metric.{did_you_mean(key, [*METRICS, *ALIASES])}"])
    return key


def case_metrics(
    prediction: np.ndarray, reference: np.ndarray, classes: Sequence[LabelClass], spacing_zyx: tuple[float, ...]
) -> dict[str, Values]:
    """Class name to metric name to number, for two label arrays (z, y, x) on a grid with this spacing in mm.

    Label values that are not among ``classes`` count as background. Raises ValueError for different shapes.
    """
    measured = measure(prediction, reference, [item.value for item in classes], spacing_zyx)
    return {item.name: measured[item.value] for item in classes}


def measure(
    prediction: np.ndarray, reference: np.ndarray, values: Sequence[int], spacing_zyx: tuple[float, ...]
) -> dict[int, Values]:
    """Label value to metric name to number; like ``case_metrics`` where the classes have no names yet."""
    if prediction.shape != reference.shape:
        msg = f"The prediction has the shape {prediction.shape} and the reference {reference.shape} (z, y, x)"
        raise ValueError(msg)
    if not values:
        return {}
    voxel_ml = float(np.prod(spacing_zyx)) / 1000
    ordered = sorted(set(values))
    overlaps = _overlaps(prediction, reference, ordered, spacing_zyx, voxel_ml)
    return {
        value: {name: metric.measure(overlap) for name, metric in METRICS.items()}
        for value, overlap in zip(ordered, overlaps, strict=True)
    }


def outcome(values: Mapping[str, float | None]) -> Outcome:
    """Whether a class was found, missed, predicted without being there (extra), or absent from both."""
    if values["dice"] is None:
        return "absent"
    if values["recall"] is None:
        return "extra"
    return "missed" if values["precision"] is None else "found"


def mean_dice(values: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """Mean Dice over the classes of one case that are not absent; None when all are."""
    known = [item["dice"] for item in values.values() if item["dice"] is not None]
    return float(np.mean(known)) if known else None


def summarize(per_case: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> dict[str, dict[str, Values]]:
    """Case to class to metric to number -> class to metric to mean, std, median, min, max and count.

    None is left out; ``count`` is what remained. ``std`` is that of a sample (n - 1) and None for one value;
    the others are None when nothing remained.
    """
    classes = dict.fromkeys(name for values in per_case.values() for name in values)
    return {
        name: {metric: _statistics([v[name][metric] for v in per_case.values() if name in v]) for metric in METRICS}
        for name in classes
    }


def _statistics(values: Sequence[float | None]) -> Values:
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "std": None, "median": None, "min": None, "max": None, "count": 0}
    return {
        "mean": float(np.mean(known)),
        "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "median": float(np.median(known)),
        "min": float(np.min(known)),
        "max": float(np.max(known)),
        "count": len(known),
    }


def _overlaps(
    prediction: np.ndarray,
    reference: np.ndarray,
    ordered: Sequence[int],
    spacing_zyx: tuple[float, ...],
    voxel_ml: float,
) -> list[Overlap]:
    """One a value of ``ordered``, each worked out inside the bounding box of the class."""
    from scipy.ndimage import find_objects

    from MedSegTrainerLib.surface import surface_distances

    # An axis of one voxel is no axis: in a 2D image only the outline is surface, not the whole area.
    kept = [axis for axis, size in enumerate(prediction.shape) if size > 1] or [0]
    shape, spacing = [prediction.shape[axis] for axis in kept], tuple(spacing_zyx[axis] for axis in kept)
    sides = [_ranked(side, ordered).reshape(shape) for side in (prediction, reference)]
    boxes = [find_objects(side, max_label=len(ordered)) for side in sides]
    overlaps = []
    for index in range(len(ordered)):
        box = _joint_box(boxes[0][index], boxes[1][index])
        predicted, expected = (side[box] == index + 1 for side in sides)
        overlaps.append(
            Overlap(
                intersection=int(np.count_nonzero(predicted & expected)),
                predicted=int(np.count_nonzero(predicted)),
                reference=int(np.count_nonzero(expected)),
                voxel_ml=voxel_ml,
                surfaces=surface_distances(predicted, expected, spacing),
            )
        )
    return overlaps


def _ranked(labels: np.ndarray, ordered: Sequence[int]) -> np.ndarray:
    """Each label value as its position in ``ordered``, counted from 1; 0 for every other value."""
    known = np.asarray(ordered)
    ranked = np.zeros(labels.shape, np.uint16)
    for index, plane in enumerate(labels):  # plane by plane: searchsorted needs eight bytes a voxel
        position = np.searchsorted(known, plane).clip(max=len(ordered) - 1)
        ranked[index] = np.where(known[position] == plane, position + 1, 0)
    return ranked


def _joint_box(first: tuple[slice, ...] | None, second: tuple[slice, ...] | None) -> tuple[slice, ...]:
    """The smallest box around two boxes; an empty one when there is neither."""
    found = [box for box in (first, second) if box is not None]
    if not found:
        return (slice(0, 0),)
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*found, strict=True))


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator) / float(denominator) if denominator else None
