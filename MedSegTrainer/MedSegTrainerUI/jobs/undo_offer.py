"""The line that says what was removed, with the button Undo beside it."""

from __future__ import annotations

from slicer.i18n import tr as _

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.jobs.job_trash import DAYS_KEPT, JobTrash, RemovedJob
from MedSegTrainerUI.shared.messages import show_message
from MedSegTrainerUI.slicer_types import Ui


class UndoOffer:
    """``ui`` has undoFrame and undoLabel; it is shown until what was removed is not in the trash any more."""

    def __init__(self, ui: Ui, trash: JobTrash) -> None:
        self._ui, self._trash = ui, trash
        self._removed: RemovedJob | None = None
        ui.undoFrame.visible = False

    def show(self, removed: RemovedJob) -> None:
        self._removed = removed
        self._ui.undoFrame.visible = True
        text = _("{name} was removed. It is kept for {days} days, at the end of the list of trainings.")
        show_message(self._ui.undoLabel, text.format(name=removed.job, days=DAYS_KEPT), "note")

    def refresh(self) -> None:
        if self._removed is not None and not self._trash.holds(self._removed):
            self._removed = None
            self._ui.undoFrame.visible = False

    def undo(self) -> JobFolder:
        """Brings it back. Raises JobError."""
        removed = self._removed
        self.refresh()
        if removed is None or self._removed is None:
            raise JobError(_("It is not in the trash any more."))
        folder = self._trash.restore(removed)
        self.refresh()
        return folder
