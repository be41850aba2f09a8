"""The result in sentences."""

from __future__ import annotations

from typing import Any

from MedSegTrainerLib.metrics.metrics import METRICS, summarize
from MedSegTrainerLib.report.summary_text import summary_sentences


def document(dice: dict[str, dict[str, float | None]], volume: float = 1.0, length: str = "mm") -> dict[str, Any]:
    """Dice of each case and structure; every predicted volume is ``volume`` times that of the reference."""
    blank: dict[str, float | None] = dict.fromkeys(METRICS)
    cases = {
        case: {
            name: blank if value is None
            else {**blank, "dice": value, "volume_ml": 2.0, "predicted_volume_ml": 2.0 * volume}
            for name, value in values.items()
        }
        for case, values in dice.items()
    }  # fmt: skip
    defined = {case: [value for value in values.values() if value is not None] for case, values in dice.items()}
    means = {case: sum(values) / len(values) if values else None for case, values in defined.items()}
    return {
        "cases": cases, "summary": summarize(cases), "length": length, "overall": {"case_mean_dice": means},
    }  # fmt: skip


def test_quartiles_worst_case_and_weakest_structure() -> None:
    sentences = summary_sentences(document({f"c{i}": {"liver": 0.5 + i / 10, "vein": 0.4 + i / 10} for i in range(5)}))
    assert sentences == [
        "Half of the 5 cases have a mean Dice between 0.550 and 0.750.",
        "The worst case is c0 (0.450).",
        "The weakest structure is vein (mean Dice 0.600).",
    ]


def test_volumes_that_lean_one_way() -> None:
    cases: dict[str, dict[str, float | None]] = {f"c{i}": {"liver": 0.8} for i in range(4)}
    assert summary_sentences(document(cases, 1.12))[-1] == "Too large in volume over all cases: liver (12%)."
    assert summary_sentences(document(cases, 0.9, "pixels"))[-1] == "Too small in area over all cases: liver (10%)."
    assert len(summary_sentences(document(cases, 1.04))) == len(summary_sentences(document(cases))) == 2


def test_few_cases_say_little() -> None:
    assert summary_sentences(document({"a": {"liver": 0.8}})) == ["One case says little about other data."]
    assert (
        summary_sentences(document({"a": {"liver": 0.8}, "b": {"liver": 0.7}}))[-1]
        == "2 cases say little about other data."
    )


def test_nothing_to_measure() -> None:
    assert "nothing to measure" in summary_sentences(document({"a": {"liver": None}}))[0]
