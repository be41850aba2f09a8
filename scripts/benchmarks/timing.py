"""Two ways of doing the same work, timed in turn (A B A B ...), so that whatever slows the machine meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from MedSegTrainerLib.hardware.device import synchronize


@dataclass(frozen=True, kw_only=True)
class Side:
    """One way of doing the work: what it is, precisely, and a call that does it once."""

    name: str
    run: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``calls`` runs make one timed round: more than one where the work differs from call to call."""

    name: str
    work: str
    ours: Side
    theirs: Side
    calls: int = 1


def compare(comparison: Comparison, rounds: int, device: torch.device) -> dict[str, Any]:
    """A row of the result: milliseconds of one call on each side, and theirs divided by ours, of medians."""
    sides = {"ours": comparison.ours, "theirs": comparison.theirs}
    for side in sides.values():  # the first call allocates memory and chooses kernels
        _milliseconds(side, 1, device)
    times: dict[str, list[float]] = {key: [] for key in sides}
    for _ in range(rounds):
        for key, side in sides.items():
            times[key].append(_milliseconds(side, comparison.calls, device))
    summaries = {key: {"name": side.name, **_summary(times[key])} for key, side in sides.items()}
    ratio = statistics.median(times["theirs"]) / statistics.median(times["ours"])
    return {
        "name": comparison.name,
        "work": comparison.work,
        "calls_a_round": comparison.calls,
        **summaries,
        "ratio": ratio,
    }


def _milliseconds(side: Side, calls: int, device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    for _ in range(calls):
        side.run()
    synchronize(device)
    return 1000 * (time.perf_counter() - started) / calls


def _summary(times: list[float]) -> dict[str, Any]:
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times), "times_ms": times}
