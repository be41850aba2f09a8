"""A job whose files are made ready a piece at a time, between two clicks of the user, before it is started."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.jobs.stop_request import StopRequest

DONE = object()


class PreparedJob:
    """pieces: what makes the files ready, None where that is done. seconds: spent on it at each ``poll``, in which one
    piece at least is done."""

    def __init__(self, folder: JobFolder, pieces: Iterator[None] | None, seconds: float = 0.0) -> None:
        self.folder, self.watch = folder, JobWatch(folder)
        self._pieces, self._seconds = pieces, seconds
        self._stop = StopRequest(self.watch)

    @property
    def preparing(self) -> bool:
        return self._pieces is not None

    @property
    def working(self) -> bool:
        return self.preparing or self.watch.working or not self.watch.caught_up

    @property
    def stopping(self) -> bool:
        return self._stop.asked

    def poll(self, start: Callable[[JobFolder], subprocess.Popen[bytes]]) -> None:
        """Goes on with what there is to do. start: what begins the job, when its files are ready. Raises MedSegError
        where it could not begin; nothing is left of it then."""
        if self._pieces is None:
            self.watch.poll()
            self._stop.poll()
            return
        until = time.perf_counter() + self._seconds
        try:
            while next(self._pieces, DONE) is not DONE:
                if time.perf_counter() >= until:
                    return
            self._pieces = None
            self.watch.expect_start(start(self.folder))
        except BaseException:
            self.forget()
            raise

    def stop(self) -> bool:
        """Whether nothing is left, as it had not begun; else it ends soon, and what is finished stays."""
        if self._pieces is None:
            self._stop.ask()
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Deletes a job that has not begun."""
        self._pieces = None
        shutil.rmtree(self.folder.path, ignore_errors=True)
