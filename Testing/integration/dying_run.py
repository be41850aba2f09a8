"""Runs a job and kills its own process at a place, as a power failure would: no cleaning up, no last word.

    python dying_run.py JOB PLACE COUNT

The interpreter's audit events tell what the library is about to do, so nothing of it is patched.
Places, at their COUNT-th time: ``torn checkpoint`` (the system ends the process when a few bytes of the
temporary file are written), ``unmoved checkpoint`` (written, not yet moved into place), ``half a package``
(new weights are in place, their description is not yet written) and ``middle of an epoch`` (a training looks
for a request to stop after its first step, and later every two seconds).
"""

from __future__ import annotations

import fnmatch
import os
import signal
import sys
from pathlib import Path
from typing import Any

from MedSegTrainerLib.jobs.run import run_job

TORN_BYTES = 1000
EVENTS = {
    "torn checkpoint": ("open", ".tmp-*-last.pt"),
    "unmoved checkpoint": ("os.rename", ".tmp-*-last.pt"),
    "half a package": ("open", ".tmp-*-model.json"),
    "middle of an epoch": ("open", "stop"),
}


def die_at(place: str, count: int) -> None:
    """Arms the process: it dies when the place is reached for the ``count``-th time."""
    event, pattern = EVENTS[place]
    left = count
    if place == "torn checkpoint":  # here: signals belong to the main thread, and another one may write
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python had turned it into an exception

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if name != event or not fnmatch.fnmatch(os.path.basename(str(arguments[0])), pattern):  # noqa: PTH119
            return
        left -= 1
        if left > 0:
            return
        if place == "torn checkpoint":
            _let_the_system_kill_at(TORN_BYTES)
        else:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    sys.addaudithook(watch)


def _let_the_system_kill_at(size: int) -> None:
    """From now on a file that grows beyond ``size`` bytes ends the process in the middle of the write."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


if __name__ == "__main__":
    die_at(sys.argv[2], int(sys.argv[3]))
    run_job(Path(sys.argv[1]))
