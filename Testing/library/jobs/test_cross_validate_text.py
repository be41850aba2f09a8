"""How much a few held-out cases say, in words."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.jobs.cross_validate import next_case_text


def test_three_cases_give_a_range_and_a_doubt() -> None:
    assert next_case_text({"a": 0.88, "b": 0.8, "c": 0.85}) == (
        "3 cases: Dice 0.80 to 0.88 when each was held out once; a fourth patient may well lie outside of that."
    )


def test_halves_are_of_one_patient() -> None:
    text = next_case_text({"a": 0.8}, halves=[0.79, 0.84])
    assert text.startswith("1 case, cut into halves: Dice 0.79 and 0.84, each half by a model trained on the other.")
    assert "another patient may well lie far outside" in text


def test_many_cases_have_a_mean_a_deviation_and_a_worst() -> None:
    text = next_case_text({str(i): 0.801 + i / 100 for i in range(11)})
    assert text.startswith("11 cases, each held out once: Dice 0.851 on average, standard deviation 0.033")
    assert "9 of 10 between 0.81 and 0.90" in text
    assert "the worst is 0 with 0.80" in text


@pytest.mark.parametrize("dice, part", [({"a": None}, "nobody knows"), ({"a": 0.5, "b": None}, "1 case was held out")])
def test_cases_without_any_class_do_not_count(dice: dict[str, float | None], part: str) -> None:
    assert part in next_case_text(dice)
