"""Values of JSON against the types of dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from MedSegTrainerLib.files.typed import filled, fits


@dataclass(frozen=True, kw_only=True)
class Example:
    name: str
    share: float
    steps: list[int] = field(default_factory=list)
    limit: float | None = 2.0


@pytest.mark.parametrize(
    ("value", "kind", "fit"),
    [
        (1, int, True), (True, int, False), (1.0, int, False), (1 << 63, int, False), (1, float, True),
        (float("nan"), float, False), (float("-inf"), float, False), (False, float, False), (10**400, float, False),
        (None, float | None, True), ("1", float | None, False), ([1, "a"], list[Any], True),
        ([1, "a"], list[int], False), ({"a": {"b": None}}, dict[str, dict[str, float | None]], True),
        ({"a": []}, dict[str, dict[str, Any]], False), ("", str, True), (None, str, False),
        (True, bool, True), (1, bool, False),
    ],
)  # fmt: skip
def test_fits(value: Any, kind: Any, fit: bool) -> None:
    assert fits(value, kind) is fit


def test_defaults_are_filled_in_and_unknown_fields_stay() -> None:
    values = filled({"name": "a", "share": None, "new": 1}, Example)
    assert values == {"name": "a", "share": None, "new": 1, "steps": [], "limit": 2.0}


@pytest.mark.parametrize("wrong", [{"name": None}, {"share": "1"}, {"steps": None}, {"limit": []}])
def test_one_field_of_another_type_is_enough(wrong: dict[str, Any]) -> None:
    assert filled({"name": "a", "share": 1, **wrong}, Example) is None
    assert filled({"share": 1}, Example) is None
