"""Whether the model was unsure where it was wrong, as two plots and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from MedSegTrainerLib.report.curves import INK, calm, inline_svg
from MedSegTrainerLib.report.plots import percent

BAR = "#0072B2"  # Okabe-Ito blue


def draw_uncertainty(document: Mapping[str, Any], case_mean_dice: Mapping[str, float | None]) -> str:
    """An ``<svg>``: share of wrong voxels by uncertainty, and the mean uncertainty of each case against its Dice.

    document: as ``UncertaintyError.to_json`` gives it.
    """
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    FigureCanvasSVG(figure)
    bars, cases = figure.subplots(1, 2)
    known = [item for item in document["bins"] if item["voxels"]]
    bars.bar(
        [item["from"] for item in known], [100 * item["wrong"] / item["voxels"] for item in known],
        width=[item["to"] - item["from"] for item in known], align="edge", color=BAR, edgecolor="none", alpha=0.85,
    )  # fmt: skip
    bars.set_xlabel("uncertainty of a voxel")
    bars.set_ylabel("wrong voxels, %")
    points = [
        (mean, case_mean_dice[name])
        for name, mean in document["cases"].items()
        if mean is not None and case_mean_dice.get(name) is not None
    ]
    if points:
        cases.plot(*zip(*points, strict=True), "o", color=BAR, markersize=4, alpha=0.85, markeredgewidth=0)
    cases.set_xlabel("mean uncertainty over the predicted structures")
    cases.set_ylabel("mean Dice of the case")
    for ax in (bars, cases):
        calm(ax)
        ax.title.set_color(INK)
    return inline_svg(figure)


def uncertainty_words(document: Mapping[str, Any]) -> str:
    """What the bins say, in a sentence."""
    known = [item for item in document["bins"] if item["voxels"]]
    first, last = known[0], known[-1]
    rates = [percent(item["wrong"] / item["voxels"]) for item in (first, last)]
    return (
        f"Where the model was surest (up to {first['to']:g}) {rates[0]} % of the voxels are wrong, where it was least "
        f"sure (from {last['from']:g}) {rates[1]} %."
    )
