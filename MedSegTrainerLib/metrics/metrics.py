"""How well a prediction agrees with a reference: the numbers for one class of one case, and their summary.

Every number is of one class against all the rest. What it is where a class is missing from one side, with "-" for
not defined, which is left out of every mean:

    reference   prediction   outcome   Dice, IoU,     preci-   recall   speci-    HD, HD95,   volumes,       relative
                                       surface Dice   sion              ficity,   ASD         volume error   volume
                                                                        accuracy                             error
    there       there        found     defined        defined  defined  defined   defined     defined        defined
    there       empty        missed    0              -        0        defined   -           defined        100 %
    empty       there        extra     0              0        -        defined   -           defined        -
    empty       empty        absent    -              -        -        -         -           -              -

A distance to nothing does not exist. To put a penalty in its place, such as the diagonal of the image, would make
means depend on the field of view; missed and extra structures are counted instead, and overlaps of 0 tell them too.
An absent class counts for nothing, or a rare class would look as if it was found where there was nothing to find.
Specificity is not defined either where the reference has the class in every voxel. Of a class that nobody looked for in
a case nothing is defined, and the case counts nowhere for it. Where a class reaches voxels that nobody labelled, as in
single slices that were drawn, nobody knows where it ends: overlaps are those of the labelled voxels, and it has neither
distances nor a surface Dice nor volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from MedSegTrainerLib.errors import ConfigError, did_you_mean
from MedSegTrainerLib.metrics.counts import Overlap, overlaps

Values = dict[str, float | None]
Outcome = Literal["found", "missed", "extra", "absent", "not drawn"]
UNKNOWN: Outcome = "not drawn"
TOLERANCE_MM = 1.0  # of surface Dice: about a voxel of a usual scan, what two experts are apart on a clear border


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number for an ``Overlap`` and how to show it. ``better``: which direction is good, '' for neither.

    aliases: other names that people write. is_main: whether the report's first table has room for it; the others are
    unfolded below. has_boxes: whether the report has a box plot of it. heading: its column in the terminal's table of
    means, without the unit; '' where it has none there.
    """

    title: str
    unit: str
    decimals: int
    better: Literal["higher", "lower", ""]
    meaning: str
    measure: Callable[[Overlap], float | None]
    aliases: tuple[str, ...] = ()
    is_main: bool = False
    has_boxes: bool = False
    heading: str = ""


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
        meaning="Overlap of prediction and reference (the same number as F1): 1 is perfect overlap, 0 none.",
        measure=lambda it: dice_from_counts(it.intersection, it.predicted, it.reference),
        aliases=("f1", "f1_score"),
        is_main=True,
        has_boxes=True,
        heading="Dice",
    ),
    "iou": Metric(
        title="IoU",
        unit="",
        decimals=3,
        better="higher",
        meaning="Overlap divided by the union of both (Jaccard index): 1 is perfect, and it is never above Dice.",
        measure=lambda it: _ratio(it.intersection, it.predicted + it.reference - it.intersection),
        aliases=("jaccard",),
        is_main=True,
        heading="IoU",
    ),
    "precision": Metric(
        title="Precision",
        unit="",
        decimals=3,
        better="higher",
        meaning="How much of what was predicted is right; low when the prediction is too large.",
        measure=lambda it: _ratio(it.intersection, it.predicted),
        is_main=True,
        heading="precision",
    ),
    "recall": Metric(
        title="Recall",
        unit="",
        decimals=3,
        better="higher",
        meaning="How much of the reference was found (sensitivity); low when the prediction is too small.",
        measure=lambda it: _ratio(it.intersection, it.reference),
        aliases=("sensitivity",),
        is_main=True,
        heading="recall",
    ),
    "specificity": Metric(
        title="Specificity",
        unit="",
        decimals=4,
        better="higher",
        meaning="How much of the rest was left alone; near 1 for every small structure, most voxels being far away.",
        measure=lambda it: None if it.is_absent else _ratio(it.outside - (it.predicted - it.intersection), it.outside),
    ),
    "accuracy": Metric(
        title="Accuracy",
        unit="",
        decimals=4,
        better="higher",
        meaning="Share of all voxels that are right, in or out; near 1 for every small structure.",
        measure=lambda it: None if it.is_absent else _ratio(it.voxels - it.wrong, it.voxels),
    ),
    "surface_dice": Metric(
        title="Surface Dice",
        unit="",
        decimals=3,
        better="higher",
        meaning="How much of both surfaces lies within the tolerance of the other: 1 is perfect.",
        measure=lambda it: _surface_dice(it),
        aliases=("nsd",),
        is_main=True,
    ),
    "hd95_mm": Metric(
        title="HD95",
        unit="mm",
        decimals=2,
        better="lower",
        meaning="95 % of each surface lies no farther than this from the other surface; 0 is perfect.",
        measure=lambda it: it.surfaces.hd95() if it.surfaces else None,
        aliases=("hd95",),
        is_main=True,
        has_boxes=True,
        heading="HD95",
    ),
    "hd_mm": Metric(
        title="HD",
        unit="mm",
        decimals=2,
        better="lower",
        meaning="The farthest that a point of one surface is from the other (Hausdorff); one stray voxel decides it.",
        measure=lambda it: it.surfaces.hd() if it.surfaces else None,
        aliases=("hd", "hausdorff", "hausdorff_distance"),
    ),
    "asd_mm": Metric(
        title="ASD",
        unit="mm",
        decimals=2,
        better="lower",
        meaning="How far apart the two surfaces are on average; 0 is perfect.",
        measure=lambda it: it.surfaces.asd() if it.surfaces else None,
        aliases=("asd", "assd"),
        is_main=True,
        heading="ASD",
    ),
    "volume_ml": Metric(
        title="Reference volume",
        unit="mL",
        decimals=2,
        better="",
        meaning="Volume of the structure in the reference.",
        measure=lambda it: _known(it, it.reference * it.voxel_ml),
        aliases=("volume",),
    ),
    "predicted_volume_ml": Metric(
        title="Predicted volume",
        unit="mL",
        decimals=2,
        better="",
        meaning="Volume of the structure in the prediction; the two volumes tell whether it is too large or too small.",
        measure=lambda it: _known(it, it.predicted * it.voxel_ml),
        aliases=("predicted_volume",),
    ),
    "volume_error_ml": Metric(
        title="Volume error",
        unit="mL",
        decimals=2,
        better="lower",
        meaning="How far the predicted volume is from the reference's, whether above or below.",
        measure=lambda it: _known(it, abs(it.predicted - it.reference) * it.voxel_ml),
        aliases=("volume_error", "absolute_volume_error"),
    ),
    "volume_error_percent": Metric(
        title="Volume error",
        unit="%",
        decimals=1,
        better="lower",
        meaning="The volume error as a share of the reference's volume.",
        measure=lambda it: None if it.is_cut else _ratio(100 * abs(it.predicted - it.reference), it.reference),
        aliases=("relative_volume_error",),
        is_main=True,
        has_boxes=True,
    ),
}


def metric_key(name: str) -> str:
    """The key of ``METRICS`` that a name as people write it stands for; raises ConfigError."""
    key = name.strip().lower().replace(" ", "_").replace("-", "_")
    aliases = {alias: canonical for canonical, metric in METRICS.items() for alias in metric.aliases}
    key = aliases.get(key, key)
    if key not in METRICS:
        raise ConfigError([f"'{name}' is no metric.{did_you_mean(key, [*METRICS, *aliases])}"])
    return key


def measure(
    prediction: np.ndarray,
    reference: np.ndarray,
    values: Sequence[int],
    spacing_zyx: tuple[float, ...],
    *,
    tolerance_mm: float = TOLERANCE_MM,
    overlapping: bool = False,
    unknown: np.ndarray | None = None,
) -> dict[int, Values]:
    """Label value to metric name to number, for two label arrays (z, y, x) on a grid with this spacing in mm.

    Other label values count as background. unknown: mask of the voxels that nobody labelled, which must be 0 in both.
    overlapping: the arrays are ``class_bits``. Raises ValueError for different shapes.
    """
    if prediction.shape != reference.shape:
        msg = f"The prediction has the shape {prediction.shape} and the reference {reference.shape} (z, y, x)"
        raise ValueError(msg)
    if not values:
        return {}
    ordered = sorted(set(values))
    voxels = reference.size if unknown is None else int(np.count_nonzero(~unknown))
    counted = overlaps(
        prediction,
        reference,
        ordered,
        spacing_zyx,
        voxels=voxels,
        tolerance_mm=tolerance_mm,
        overlapping=overlapping,
        unknown=unknown,
    )
    return {
        value: {name: metric.measure(overlap) for name, metric in METRICS.items()}
        for value, overlap in zip(ordered, counted, strict=True)
    }


def outcome(values: Mapping[str, float | None], *, drawn: bool = True) -> Outcome:
    """Whether a class was found, missed, predicted without being there (extra), or absent from both; ``drawn``: whether
    somebody looked for it in the reference."""
    if not drawn:
        return UNKNOWN
    if values["dice"] is None:
        return "absent"
    if values["recall"] is None:
        return "extra"
    return "missed" if values["precision"] is None else "found"


def mean_dice(values: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """Mean Dice over the classes of one case that are not absent; None when all are."""
    defined = [item["dice"] for item in values.values() if item["dice"] is not None]
    return float(np.mean(defined)) if defined else None


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
    defined = [value for value in values if value is not None]
    if not defined:
        return {"mean": None, "std": None, "median": None, "min": None, "max": None, "count": 0}
    return {
        "mean": float(np.mean(defined)),
        "std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "median": float(np.median(defined)),
        "min": float(np.min(defined)),
        "max": float(np.max(defined)),
        "count": len(defined),
    }


def _known(overlap: Overlap, volume: float) -> float | None:
    return None if overlap.is_absent or overlap.is_cut else volume


def _surface_dice(overlap: Overlap) -> float | None:
    if overlap.is_absent or overlap.is_cut:
        return None
    return overlap.surfaces.dice(overlap.tolerance_mm) if overlap.surfaces else 0.0


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator) / float(denominator) if denominator else None
