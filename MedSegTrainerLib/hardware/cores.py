"""How many processor cores this process may use: in containers and on clusters fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

import torch

CHOSEN_BY_OTHERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # environment variables: a person, or a scheduler


def use_cores() -> None:
    """As many threads in PyTorch as there are cores for this process, unless somebody has said how many.

    PyTorch itself counts physical cores and looks at which of them the process is bound to: two threads on the same
    core only wait for one another. What it does not see is a limit in time, as containers have it: with 64 threads in
    the time of 2 cores most of them stand still at any moment, and the others wait for them.
    """
    if not any(name in os.environ for name in CHOSEN_BY_OTHERS):
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process is bound to or, where its control group gives it less time, as many as that is worth.

    root: of the file system, where Linux tells it.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    return allowed if math.isinf(quota) else max(1, min(allowed, round(quota)))


def _quota(root: Path) -> float:
    """Cores' worth of time that the control groups of this process, and those around them, may use."""
    limits = [math.inf]
    for line in _words(root / "proc" / "self" / "cgroup", "\n"):
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys" / "fs" / "cgroup" / ("cpu" if controllers else "")
        parts = PurePosixPath(place).parts[1:]
        limits += [_limit(base.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]
    return min(limits)


def _limit(group: Path) -> float:
    """Microseconds in each period, of version 2 (one file) or 1 (two files) of control groups."""
    found = _words(group / "cpu.max") or [
        *_words(group / "cpu.cfs_quota_us"),
        *_words(group / "cpu.cfs_period_us"),
    ]
    if len(found) != 2 or found[0] in ("max", "-1"):
        return math.inf
    return int(found[0]) / int(found[1])


def _words(path: Path, separator: str | None = None) -> list[str]:
    """Of a file; none where it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8").strip().split(separator)
    except (OSError, UnicodeDecodeError):
        return []
