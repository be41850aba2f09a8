"""Durations as people write them: 20m, 1h30m, 90s."""

from __future__ import annotations

import re

from MedSegTrainerLib.errors import UsageError

SECONDS = {"h": 3600, "m": 60, "s": 1}
LONGEST_TEXT = 40
LONGEST_HOURS = 10_000  # more than a year


def parse_duration(text: str) -> float:
    """Seconds in a text such as ``20m``, ``1h30m`` or ``90s``; raises UsageError."""
    written = text.replace(" ", "").lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", written) if len(written) <= LONGEST_TEXT else []
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != written or seconds <= 0:
        raise UsageError(f"'{text[:LONGEST_TEXT]}' is no duration; write 20m, 1h30m or 90s.")
    if seconds > LONGEST_HOURS * SECONDS["h"]:
        raise UsageError(f"'{text}' is more than the {LONGEST_HOURS} hours that are possible.")
    return seconds


def format_duration(seconds: float) -> str:
    """``1h 05m``, ``12m 30s`` or ``40s``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
