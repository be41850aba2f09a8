"""What a process does that is asked to end by the system: a cluster's scheduler, a shutdown."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from MedSegTrainerLib.job import STOP_KEEP_BEST, JobFolder


@contextmanager
def polite_termination(folder: JobFolder) -> Iterator[None]:
    """A cluster's SIGTERM becomes a request to stop and keep the best model."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: folder.request_stop(STOP_KEEP_BEST))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
