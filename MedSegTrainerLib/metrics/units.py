"""What lengths and volumes are measured in: photographs and bare arrays do not say how large their voxels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import SimpleITK as sitk

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import is_placeless
from MedSegTrainerLib.metrics.metrics import METRICS, Metric

Length = Literal["mm", "pixels", "voxels"]
SHORT: dict[Length, str] = {"mm": "mm", "pixels": "px", "voxels": "vx"}
ONE_ML = 1000  # voxels of 1 mm, which is what those of unknown size are taken for while measuring
COMPARED = ("mean_a", "mean_b", "mean", "std", "median", "low", "high")  # numbers of a comparison in the metric's unit
IN_A_PLANE = {"Volume": "Area", "volume": "area", "voxel": "pixel"}


def length_of(reference: Path, labels: sitk.Image) -> Length:
    """What distances on this grid are in; ``labels`` is the reference as it was compared, ``reference`` its file.

    A reference that does not say where it lies took the grid of its prediction, where that has one.
    """
    grid = Geometry.of(labels)
    if not is_placeless(reference) or Geometry(size=grid.size).disagreements(grid):
        return "mm"
    return "pixels" if grid.size[2] == 1 else "voxels"


def common_length(lengths: Sequence[Length]) -> Length:
    """That of several cases; mm where they differ."""
    kinds = set(lengths)
    return kinds.pop() if len(kinds) == 1 else "mm"


def display_metric(key: str, length: Length) -> Metric:
    """A metric of ``METRICS`` with the texts and units of a report."""
    metric = METRICS[key]
    if length == "mm":
        return metric
    units = {"mm": (SHORT[length], metric.decimals), "mL": (SHORT[length], 0)}
    unit, decimals = units.get(metric.unit, (metric.unit, metric.decimals))
    texts = {"title": metric.title, "meaning": metric.meaning}
    for name, text in texts.items() if length == "pixels" else ():
        for old, new in IN_A_PLANE.items():
            text = text.replace(old, new)
        texts[name] = text
    return replace(metric, unit=unit, decimals=decimals, title=texts["title"], meaning=texts["meaning"])


def display_value(value: float | None, key: str, length: Length) -> float | None:
    """A number of ``metrics.json`` in the unit that ``display_metric`` names."""
    if value is None or length == "mm" or METRICS[key].unit != "mL":
        return value
    return value * ONE_ML


def display_results(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The results of one metric in ``compare.json``, in the unit that ``display_metric`` names."""
    results, length = document["results"][key], document["length"]
    classes = {name: _display_result(result, key, length) for name, result in results["classes"].items()}
    return {"classes": classes, "overall": _display_result(results["overall"], key, length)}


def _display_result(result: Mapping[str, Any], key: str, length: Length) -> dict[str, Any]:
    numbers = {name: display_value(result[name], key, length) for name in COMPARED}
    cases = [
        {**case, **{name: display_value(case[name], key, length) for name in ("a", "b", "difference")}}
        for case in result["cases"]
    ]
    return {**result, **numbers, "cases": cases}


def display_key(key: str, length: Length) -> str:
    """The name of a metric's column in a table: ``hd95_mm``, or ``hd95_px`` where pixels are counted."""
    unit = METRICS[key].unit
    if length == "mm" or unit not in ("mm", "mL"):
        return key
    return f"{key.rpartition('_')[0]}_{SHORT[length]}"
