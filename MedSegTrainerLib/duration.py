"""Durations as people write them: 20m, 1h30m, 90s."""

from __future__ import annotations

import re

from MedSegTrainerLib.errors import UsageError

SECONDS = {"h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> float:
    """Seconds in a text such as ``20m``, ``1h30m`` or ``90s``; raises UsageError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text.replace(" ", "").lower())
    written = "".join(number + unit for number, unit in parts)
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if not parts or written != text.replace(" ", "").lower() or seconds <= 0:
        raise UsageError(f"'{text}' is no duration; write 20m, 1h30m or 90s.")
    return seconds


def format_duration(seconds: float) -> str:
    """``1h 05m``, ``12m 30s`` or ``40s``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
