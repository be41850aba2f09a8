"""Durations, read and told."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.duration import format_duration, parse_duration
from MedSegTrainerLib.errors import UsageError


@pytest.mark.parametrize(
    "text, seconds",
    [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1h 30m 5s", 5405), ("1.5h", 5400), ("2M", 120), (" 3 m ", 180)],
)
def test_parse(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "20 min", "1h30", "-5m", "0s", "1d", "5m!", "1,5h", "inf"])
def test_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="is no duration; write 20m, 1h30m or 90s") as caught:
        parse_duration(text)
    assert f"'{text}'" in str(caught.value)


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0s"), (-3, "0s"), (40.4, "40s"), (59.6, "1m 00s"), (750, "12m 30s"), (3599.4, "59m 59s"),
        (3600, "1h 00m"), (3900, "1h 05m"), (90000, "25h 00m"),
    ],
)  # fmt: skip
def test_format(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
