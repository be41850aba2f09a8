"""An event as a line of the log: its level, its message, and those of its fields that are a number or a word.

What lies in ``events.jsonl`` beside them is not repeated: names of cases, lists, and tables.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

LEVELS = {"progress": logging.DEBUG, "warned": logging.WARNING, "recovered": logging.WARNING, "failed": logging.ERROR}
SEVERITIES = {"error": logging.ERROR, "warning": logging.WARNING}
LEFT_OUT = {"seq", "time", "kind", "message", "case", "remedy"}
LEFT_OUT_OF = {"case": {"name", "output"}}


def level_of(event: Mapping[str, Any]) -> int:
    """A level of ``logging``."""
    if event["kind"] == "advised" and event.get("remedies"):
        return logging.WARNING
    if event["kind"] == "case" and event.get("error"):
        return logging.ERROR
    return LEVELS.get(event["kind"], SEVERITIES.get(str(event.get("severity")), logging.INFO))


def event_line(event: Mapping[str, Any]) -> str:
    """``epoch: epoch=3 epochs=20 train_loss=0.41 ...``"""
    left_out = LEFT_OUT | LEFT_OUT_OF.get(event["kind"], set())
    pairs = [
        f"{name}={f'{value:.6g}' if isinstance(value, float) else value}"
        for name, value in event.items()
        if name not in left_out and isinstance(value, (str, int, float))
    ]
    if "choices" in event:
        pairs.append(f"choices={len(event['choices'])}")
    return f"{event['kind']}: {' '.join(filter(None, [event.get('message', ''), *pairs]))}"
