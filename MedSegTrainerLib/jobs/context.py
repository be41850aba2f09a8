"""What every job works with, whatever its kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from MedSegTrainerLib.events import Emit
from MedSegTrainerLib.job import JobFolder, JobOwner

if TYPE_CHECKING:  # it loads torch, which an evaluation must not wait for
    from MedSegTrainerLib.hardware.distributed import Bystander, Ranks


@dataclass(frozen=True, kw_only=True)
class JobContext:
    """Where a job works, and to whom it says how far it is.

    owner: holds the lock of the folder and writes ``status.json``. emit: writes ``events.jsonl``. started: when, by the
    ``clock`` (seconds), a time budget began to run. joined: the processes that share the job, None where this one
    is alone; of several, all but the first say nothing and write nothing but prepared volumes.
    """

    folder: JobFolder
    owner: JobOwner | Bystander
    emit: Emit
    started: float
    clock: Callable[[], float] = time.time
    joined: Ranks | None = None

    @property
    def ranks(self) -> Ranks:
        """The processes that share the job, also where it is only one."""
        from MedSegTrainerLib.hardware.distributed import ALONE

        return ALONE if self.joined is None else self.joined
