"""The training at the top of the panel and in Slicer's status bar while one runs: its bar, and the best Dice so far."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.jobs.end_notice import EndNotice
from MedSegTrainerUI.jobs.event_text import progress_text
from MedSegTrainerUI.jobs.floating_bar import FloatingBar
from MedSegTrainerUI.jobs.job_list import has_no_end
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.slicer_types import Ui, Widget

STEPS = 1000
END_MILLISECONDS = 30_000  # how long the status bar says that it is over


class JobBar:
    """``ui`` are the widgets of MedSegTrainer.ui; ``notice`` tells the user, where he wants it, that a job ended."""

    def __init__(self, ui: Ui, notice: EndNotice) -> None:
        self._ui, self._notice = ui, notice
        self._working: JobWatch | None = None
        self.ended: JobWatch | None = None  # that ended while it was shown here
        self._message = ""
        self.floating = FloatingBar(ui.runningFrame, ui.runningBar, ui.runningLabel)
        ui.runningFrame.visible = False

    def show(self, watch: JobWatch | None) -> None:
        """While another module is shown, too: the status bar is seen there."""
        working = watch is not None and watch.working
        self._ui.runningFrame.visible = working
        if watch is not None and (working or watch is self._working):
            self._say(watch)
        self._working = watch if working else None
        self.floating.look()

    def _say(self, watch: JobWatch) -> None:
        mean, _dice = watch.best_dice()
        best = _(", best Dice {dice:.2f}").format(dice=mean) if mean is not None else ""
        progress = f"{progress_text(watch)}{best}"
        message = f"{watch.name}: {progress}"
        if watch.working:
            set_bar(self._ui.runningBar, watch)
            self._ui.runningLabel.text = message
        else:
            self.ended = watch
            self._notice.tell(watch.name, progress)
        if message != self._message:  # said again, it would hide what others say there
            slicer.util.showStatusMessage(message, 0 if watch.working else END_MILLISECONDS)
        self._message = message


def set_bar(bar: Widget, watch: JobWatch) -> None:
    """How far the current stage is; busy where no end is known."""
    unknown = watch.state == "starting" or not watch.stage["total"] or has_no_end(watch.document)
    endless = watch.working and unknown
    bar.maximum = 0 if endless else STEPS
    if not endless:
        bar.value = round(watch.progress * STEPS)
