"""The training at the top of the panel while one runs, whatever section is open: its bar, and the best Dice so far."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerUI.event_words import progress_words
from MedSegTrainerUI.job_watch import JobWatch
from MedSegTrainerUI.jobs import has_no_end

STEPS = 1000


class JobBar:
    """``ui`` are the widgets of MedSegTrainer.ui."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        ui.runningFrame.visible = False

    def show(self, watch: JobWatch | None) -> None:
        working = watch is not None and watch.working
        self._ui.runningFrame.visible = working
        if not working:
            return
        set_bar(self._ui.runningBar, watch)
        mean, _dice = watch.best_dice()
        best = _(", best Dice {dice:.2f}").format(dice=mean) if mean is not None else ""
        self._ui.runningLabel.text = f"{watch.name}: {progress_words(watch)}{best}"


def set_bar(bar: Any, watch: JobWatch) -> None:
    """How far the current stage is; busy where no end is known."""
    unknown = watch.state == "starting" or not watch.stage["total"] or has_no_end(watch.document)
    endless = watch.working and unknown
    bar.maximum = 0 if endless else STEPS
    if not endless:
        bar.value = round(watch.progress * STEPS)
