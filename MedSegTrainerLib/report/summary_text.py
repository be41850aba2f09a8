"""The result of an evaluation in a few sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from MedSegTrainerLib.report.selected_cases import worst_first
from MedSegTrainerLib.report.tables import volume_pairs

FEWEST_CASES = 4  # for quartiles
NOTABLE_BIAS = 0.05  # of the volume
NAMES_SHOWN = 3


def summary_sentences(document: Mapping[str, Any]) -> list[str]:
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
    sentences += _volume_bias(document)
    if len(ordered) < FEWEST_CASES:
        few = "One case says" if len(ordered) == 1 else f"{len(ordered)} cases say"
        sentences.append(f"{few} little about other data.")
    return sentences


def _volume_bias(document: Mapping[str, Any]) -> list[str]:
    """The structures whose predicted volumes are too large or too small altogether, the farthest off first."""
    what = "area" if document["length"] == "pixels" else "volume"
    shares: dict[str, float] = {}
    for name, pairs in volume_pairs(document).items():
        expected, predicted = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
        if expected and abs(predicted / expected - 1) >= NOTABLE_BIAS:
            shares[name] = predicted / expected - 1
    ranked = sorted(shares, key=lambda name: -abs(shares[name]))
    sentences = []
    for size, sign in (("large", 1), ("small", -1)):
        names = [f"{name} ({abs(shares[name]):.0%})" for name in ranked if shares[name] * sign > 0]
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            sentences.append(f"Too {size} in {what} over all cases: {', '.join(names[:NAMES_SHOWN])}{more}.")
    return sentences
