"""How the slices that should be drawn next are ranked: the list of rankings, for settings, commands and jobs.

A new ranking is an entry here, and a function that scores slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A way to choose slices.

    scores: "module:function" of a ``suggestion.rankings.Turn`` that returns ``suggestion.rankings.Scores``. reason: why
    a slice was chosen, as ``suggestions.json`` says it. note: what it goes by, for the help.
    """

    scores: str
    reason: Literal["unsure", "random"]
    note: str


RANKINGS: dict[str, Ranking] = {
    "random-foreground": Ranking(
        scores="MedSegTrainerLib.suggestion.rankings:random_foreground",
        reason="random",
        note="a random slice of a random image in which the model sees something",
    ),
    "entropy": Ranking(
        scores="MedSegTrainerLib.suggestion.rankings:mean_entropy",
        reason="unsure",
        note="where the model is least sure in all",
    ),
    "class-stratified": Ranking(
        scores="MedSegTrainerLib.suggestion.rankings:class_stratified",
        reason="unsure",
        note="class by class where the model is unsure about it, with some chance",
    ),
}


def ranking_names() -> str:
    """All rankings as a text."""
    return "; ".join(f"{name}: {entry.note}" for name, entry in RANKINGS.items())
