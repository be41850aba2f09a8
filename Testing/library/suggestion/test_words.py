"""Why a slice was chosen, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.choose import Pick
from MedSegTrainerLib.suggestion.words import reason_text

Make = Callable[..., CaseSlices]
NAMES = ["liver", "tumor", "vessel"]


def pick(**given: Any) -> Pick:
    return Pick(**{"case": 0, "slice": 0, "class_index": 1, "reason": "unsure", "score": 0.3, **given})


def test_the_class_and_those_nearly_as_unsure_are_named(make_case: Make) -> None:
    alone = make_case("a", [[0.1], [0.4], [0.2]])
    assert reason_text(pick(), alone, NAMES) == "the model is unsure about the tumor here"
    two = make_case("a", [[0.1], [0.4], [0.35]])
    assert reason_text(pick(), two, NAMES) == "the model is unsure about the tumor and the vessel here"
    assert reason_text(pick(class_index=2), two, NAMES) == "the model is unsure about the vessel and the tumor here"


def test_a_class_that_is_seen_nowhere(make_case: Make) -> None:
    case = make_case("a", [[0.1], [0.4], [0.2]])
    text = reason_text(pick(), case, NAMES, unseen=[1])
    assert text == "the model sees the tumor in no image so far, and comes nearest to it here"


def test_in_what_the_image_is_unlike(make_case: Make) -> None:
    case = make_case("a", [[0.1], [0.4], [0.2]], unlike=("voxels of 5 mm", "one intensity"))
    assert reason_text(pick(reason="unlike"), case, NAMES) == (
        "the model is unsure about the tumor here; the image is unlike all cases so far: it has voxels of 5 mm; one "
        "intensity"
    )


def test_at_random(make_case: Make) -> None:
    case = make_case("a", [[0.1], [0.4], [0.2]], voxels=np.array([[3], [0], [8]]))
    assert reason_text(pick(reason="random", class_index=2), case, NAMES) == (
        "chosen at random: the model sees the vessel and the liver in it"
    )
    assert reason_text(pick(reason="random", class_index=None), case, NAMES) == (
        "chosen at random: the model sees nothing in it"
    )


def test_no_doubt_at_all(make_case: Make) -> None:
    case = make_case("a", [[0.0], [0.0], [0.0]])
    assert reason_text(pick(class_index=None), case, NAMES) == "the model is as sure here as anywhere"
