"""Processes one after the other, or in lanes side by side with a part of the cores each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

POLL_SECONDS = 0.2

Environment = Mapping[str, str]


@dataclass(kw_only=True)
class Work:
    """``start`` begins it with an environment; ``check`` raises MedSegError where it ended without a result.

    started, seconds: when it began (``time.time()``) and how long it took.
    """

    name: str
    start: Callable[[Environment], subprocess.Popen[bytes]]
    check: Callable[[], None]
    started: float = 0.0
    seconds: float = 0.0


def run_lanes(lanes: Sequence[Sequence[Work]], cores: Sequence[Sequence[int] | None]) -> None:
    """Does each lane's work in its order, all lanes at the same time, on its cores (None: on all).

    Ends what still runs where one fails or somebody stops the measurement.
    """
    waiting = [list(lane) for lane in lanes]
    running: list[tuple[Work, subprocess.Popen[bytes]] | None] = [None] * len(lanes)
    try:
        while any(waiting) or any(running):
            for index, place in enumerate(cores):
                running[index] = _go_on(running[index], waiting[index], place)
            time.sleep(POLL_SECONDS)
    finally:
        for pair in running:
            if pair is not None and pair[1].poll() is None:
                pair[1].terminate()
                pair[1].wait()


def _go_on(
    pair: tuple[Work, subprocess.Popen[bytes]] | None, waiting: list[Work], cores: Sequence[int] | None
) -> tuple[Work, subprocess.Popen[bytes]] | None:
    """What runs in a lane from now on, after a look at what ran so far."""
    if pair is not None:
        work, process = pair
        if process.poll() is None:
            return pair
        work.seconds = time.time() - work.started
        work.check()
        print(f"  {work.name}: done after {work.seconds / 60:.1f} minutes", flush=True)
    if not waiting:
        return None
    work = waiting.pop(0)
    print(f"  {work.name} ...", flush=True)
    work.started = time.time()
    process = work.start({**os.environ, **_threads(cores)})
    if cores is not None:
        pin(process.pid, cores)
    return work, process


def _threads(cores: Sequence[int] | None) -> dict[str, str]:
    return {} if cores is None else {"OMP_NUM_THREADS": str(len(cores)), "MKL_NUM_THREADS": str(len(cores))}


def usable_cores() -> list[int]:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(pid: int, cores: Sequence[int]) -> bool:
    """Keeps a process that just began on these cores; whether the system can: elsewhere its threads are as many."""
    if sys.platform == "linux":
        os.sched_setaffinity(pid, cores)
        return True
    return False
