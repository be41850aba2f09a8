"""How far a job is that goes through images one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable

from MedSegTrainerLib.events import Progress
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.pipeline import StopAskedError

UNITS_PER_CASE = 1000  # progress counts parts of a case, so that one large volume moves too


def image_progress(context: JobContext, index: int, total: int, began: float) -> Callable[[int, int], None]:
    """Tells, once a second, how far the image with this index is, and how long the rest takes at the same pace.

    The function takes windows that are done, and all of the image. It raises StopAskedError in the midst of an image
    where somebody asked for the end.
    """
    last = 0.0

    def show(done: int, windows: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 1 or done == windows:
            last = now
            reached, all_of_it = int(UNITS_PER_CASE * (index + done / windows)), total * UNITS_PER_CASE
            eta = round((now - began) / reached * (all_of_it - reached), 1) if reached else None
            context.emit(Progress(done=reached, total=all_of_it, eta_seconds=eta))
            context.owner.update(progress=reached / all_of_it, eta_seconds=eta)
        if done < windows and context.folder.stop_requested():
            raise StopAskedError

    return show
