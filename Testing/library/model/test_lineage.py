"""Cases that trained a model are known by name and by content, through all models before it."""

from __future__ import annotations

from typing import Any

import pytest

from MedSegTrainerLib.data.case_contents import CaseRecord, FileRecord
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.lineage import (
    EarlierCases,
    best_epoch_text,
    case_entries,
    earlier_cases,
    is_unchanged,
    lineage,
    lineage_lines,
    lineage_of,
)


def record(content: str) -> CaseRecord:
    image, label = (FileRecord(path=kind, stamp="", content=f"{kind} {content}") for kind in ("image", "label"))
    return CaseRecord(images=(image,), label=label, segment_values={})


CASES = {name: record(name) for name in "abcd"}
SPLIT = Split(train=("a", "b"), val=("c",), test=("d",), reason="")


def told(**others: Any) -> dict[str, Any]:
    return {"cases": case_entries(CASES, SPLIT), "train_cases": ["a", "b"], "val_cases": ["c"], **others}


def test_a_case_has_its_contents_and_its_part() -> None:
    entries = case_entries(CASES, SPLIT)
    assert entries["a"] == {"images": ["image a"], "label": "label a", "part": "train"}
    assert {name: entry["part"] for name, entry in entries.items()} == {
        "a": "train",
        "b": "train",
        "c": "val",
        "d": "test",
    }


def test_a_single_case_that_both_trains_and_validates_has_trained() -> None:
    both = Split(train=("a",), val=("a",), test=(), reason="")
    assert case_entries(CASES, both)["a"]["part"] == "train"


def test_cases_are_known_by_their_content_else_by_their_name() -> None:
    earlier = earlier_cases(lineage_of(told(), 0.9, ["liver"], "first", "2026-01-02"))
    now = {"a": record("other"), "x": record("b"), "c": record("c"), "y": record("y"), "d": record("other d")}
    assert earlier.parts_of(now) == {"a": "train", "x": "train", "c": "val", "d": "test"}
    assert EarlierCases().parts_of(now) == {}


def test_content_counts_more_than_a_name_that_was_given_anew() -> None:
    earlier = earlier_cases(lineage_of(told(), 0.9, ["liver"], "first", "2026-01-02"))
    assert earlier.parts_of({"a": record("c"), "c": record("a")}) == {"a": "val", "c": "train"}


def test_all_models_before_count() -> None:
    first = lineage_of(told(), 0.9, ["liver"], "first", "2026-01-02")
    others = {"cases": case_entries({"e": record("e")}, Split(train=("e",), val=(), test=(), reason=""))}
    curves = [{"epoch": 0, "minutes": 0.0}, {"epoch": 3, "minutes": 1.26}]
    second = lineage_of({**others, "lineage": first}, None, ["liver", "cyst"], "second", "2026-03-04", curves)
    assert [entry["name"] for entry in second] == ["first", "second"]
    assert [entry.get("minutes") for entry in second] == [None, 1.26]
    now = {name: record(name) for name in "abcde"}
    assert earlier_cases(second).parts_of(now) == {"a": "train", "b": "train", "c": "val", "d": "test", "e": "train"}
    assert lineage_lines({"lineage": second}) == [
        "second, of 2026-03-04: liver, cyst, 1.3 min", "trained on 1 cases: e",
        "first, of 2026-01-02: liver, Dice 0.900", "trained on 2 cases: a, b",
    ]  # fmt: skip


def test_a_case_that_any_of_them_trained_on_has_trained_and_else_the_last_one_says() -> None:
    parts = {"a": ("val", "train", "val"), "b": ("train", "val", "test"), "c": ("val", "test", "val")}
    models: list[dict[str, Any]] = [
        {"cases": {name: {"images": [name], "part": told[index]} for name, told in parts.items()}} for index in range(3)
    ]
    models.append({"cases": {"c": {"images": [], "part": "nonsense"}}})
    assert earlier_cases(models).parts_of({name: record(name) for name in "abc"}) == {
        "a": "train",
        "b": "train",
        "c": "val",
    }


def test_of_a_model_of_an_earlier_version_the_names_are_known() -> None:
    entry = lineage_of({"train_cases": ["a"], "val_cases": ["b"]}, None, ["liver"], "old", "2025-01-01")
    earlier = earlier_cases(entry)
    assert earlier.by_name == {"a": "train", "b": "val"} and not earlier.by_content


def test_many_cases_are_counted() -> None:
    names = [f"case_{index:02d}" for index in range(20)]
    lines = lineage_lines({"lineage": lineage_of({"train_cases": names}, None, ["liver"], "old", "2025-01-01")})
    assert lines[1].startswith("trained on 20 cases: case_00, ") and lines[1].endswith("case_11 and 8 more")


@pytest.mark.parametrize(
    "damage",
    [
        {"lineage": "x"}, {"lineage": [{"name": "a"}]}, {"cases": {"a": {"images": [1], "label": "", "part": ""}}},
        {"cases": []}, {"train_cases": [3]}, {"lineage": [{"name": "a", "when": 3, "classes": [], "cases": {}}]},
        {"lineage": [{"name": "a", "when": "", "classes": [], "cases": {}}] * 101},
    ],
)  # fmt: skip
def test_what_a_stranger_wrote_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="damaged"):
        lineage(told(**damage))


def test_whether_the_training_changed_anything() -> None:
    begun = told(lineage=lineage_of(told(), None, ["liver"], "first", "2026-01-02"))
    assert is_unchanged({**begun, "epoch": 0})
    assert not is_unchanged({**begun, "epoch": 3}) and not is_unchanged(told(epoch=0))
    assert best_epoch_text(told(epoch=3)) == "3"
    assert best_epoch_text({**begun, "epoch": 0}).startswith("0: no epoch of this training was better")
