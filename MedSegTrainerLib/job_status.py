"""How far a job is, as its status file says."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from MedSegTrainerLib.processes import process_exists

HEARTBEAT_SECONDS = 3.0
DEAD_AFTER_SECONDS = 60.0
ACTIVE_STATES = ("starting", "running")


@dataclass(frozen=True, kw_only=True)
class Status:
    """Content of ``status.json``. ``state``: created, starting, running, finished, stopped or failed."""

    state: str = "created"
    kind: str = ""
    host: str = ""
    pid: int = 0
    heartbeat: float = 0.0
    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    progress: float = 0.0
    eta_seconds: float | None = None
    best: float | None = None
    message: str = ""

    def is_alive(self) -> bool:
        """Whether a process is working on the job: a fresh heartbeat and, on this machine, a living process.

        A heartbeat of more than a minute from now in the future is none: a clock is wrong.
        """
        if self.state not in ACTIVE_STATES or abs(time.time() - self.heartbeat) > DEAD_AFTER_SECONDS:
            return False
        return self.host != socket.gethostname() or process_exists(self.pid)
