"""The result of an evaluation in a few sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from MedSegTrainerLib.report.shown_cases import worst_first
from MedSegTrainerLib.report.tables import volume_pairs

FEWEST_CASES = 4  # for quartiles
BIAS_WORTH_TELLING = 0.05  # of the volume


def in_words(document: Mapping[str, Any]) -> list[str]:
    """Sentences on the spread over the cases, the weakest structure, the worst case, and volumes that lean one way."""
    by_case = document["overall"]["case_mean_dice"]
    ordered = [name for name in worst_first(by_case) if by_case[name] is not None]
    if not ordered:
        return ["Neither the references nor the predictions hold any structure: there is nothing to measure."]
    sentences = []
    if len(ordered) >= FEWEST_CASES:
        low, high = np.percentile([by_case[name] for name in ordered], [25, 75])
        sentences.append(f"Half of the {len(ordered)} cases have a mean Dice between {low:.3f} and {high:.3f}.")
    if len(ordered) > 1:
        sentences.append(f"The worst case is {ordered[0]} ({by_case[ordered[0]]:.3f}).")
    means = {name: item["dice"]["mean"] for name, item in document["summary"].items()}
    means = {name: mean for name, mean in means.items() if mean is not None}
    if len(means) > 1:
        weakest = min(means, key=lambda name: means[name])
        sentences.append(f"The weakest structure is {weakest} (mean Dice {means[weakest]:.3f}).")
    sentences += _leaning(document)
    if len(ordered) < FEWEST_CASES:
        sentences.append(f"{len(ordered)} case{'' if len(ordered) == 1 else 's'} say little about other data.")
    return sentences


def _leaning(document: Mapping[str, Any]) -> list[str]:
    """The structures whose predicted volumes are too large or too small altogether."""
    what = "area" if document["length"] == "pixels" else "volume"
    told: dict[str, list[str]] = {"large": [], "small": []}
    for name, pairs in volume_pairs(document).items():
        expected, predicted = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
        share = predicted / expected - 1 if expected else 0.0
        if abs(share) >= BIAS_WORTH_TELLING:
            told["large" if share > 0 else "small"].append(f"{name} ({abs(share):.0%})")
    return [
        f"Too {size} in {what} over all cases: {', '.join(names[:4])}{f' and {len(names) - 4} more' if names[4:] else ''}."
        for size, names in told.items()
        if names
    ]
