"""A job that works in a process of its own is asked to stop, and ended where it does not listen."""

from __future__ import annotations

import socket
import time

from MedSegTrainerLib.job import STOP_NOW
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.jobs.process import TreeEnd

GRACE_SECONDS = 8.0  # between the request to stop and the end of the process


class StopRequest:
    """Of the job that ``watch`` follows. asked: whether the user wants it to stop."""

    def __init__(self, watch: JobWatch) -> None:
        self._watch, self._folder = watch, watch.folder
        self._since: float | None = None
        self._end: TreeEnd | None = None

    @property
    def asked(self) -> bool:
        return self._since is not None

    def ask(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._folder.request_stop(STOP_NOW)

    def poll(self) -> None:
        """Insists: a process that just starts takes the request away, and one in the midst of a volume looks late."""
        if self._since is None or not self._watch.working:
            return
        if self._folder.stop_requested() is None:
            self._folder.request_stop(STOP_NOW)
        status = self._watch.status
        if self._end is not None:
            self._end.poll()
        elif time.monotonic() - self._since > GRACE_SECONDS and status.pid and status.host == socket.gethostname():
            self._end = TreeEnd(status.pid)
