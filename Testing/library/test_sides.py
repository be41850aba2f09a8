"""Which class names come in left/right pairs."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.sides import left_right_pair


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["liver", "left kidney", "right kidney"], ("left kidney", "right kidney")),
        (["kidney_L", "kidney_R"], ("kidney_L", "kidney_R")),
        (["Lt. lung", "Rt. lung"], ("Lt. lung", "Rt. lung")),
        (["lungLeft", "lungRight"], ("lungLeft", "lungRight")),
        (["left kidney", "right lung"], None),
        (["Anterior", "Posterior"], None),
        (["left atrium", "liver"], None),
    ],
)
def test_pairs_are_found_by_words(names: list[str], pair: tuple[str, str] | None) -> None:
    assert left_right_pair(names) == pair
