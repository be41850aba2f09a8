"""What ``apply`` said of the label maps that are evaluated, where its ``results.json`` lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.events import Emit, Warned
from MedSegTrainerLib.model.likely_dice import Likely
from MedSegTrainerLib.results_file import RESULTS, read_results


def told_beside(predictions: Path, pairs: Sequence[Pair], emit: Emit) -> dict[str, dict[str, Likely]]:
    """Case to class to likely Dice, {} without such a file; of one that is damaged ``emit`` gets a Warned."""
    if not (predictions / RESULTS).is_file():
        return {}
    try:
        cases = {case.label_map: case for case in read_results(predictions)}
    except UsageError as error:
        emit(Warned(message=f"The likely Dice is left out: {error}"))
        return {}
    places = {pair.name: pair.prediction.relative_to(predictions).as_posix() for pair in pairs}
    return {
        name: {
            item.name: Likely(likely_dice=item.likely_dice, low=item.low, high=item.high)
            for item in cases[place].classes
            if None not in (item.likely_dice, item.low, item.high)
        }
        for name, place in places.items()
        if place in cases
    }
