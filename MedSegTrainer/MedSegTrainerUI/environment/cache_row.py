"""The cases that trainings have prepared and share: how much they take, and the button that deletes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.cache_folder import clear_entries, entry_sizes
from MedSegTrainerUI.jobs.event_text import size_text
from MedSegTrainerUI.shared.messages import allow, report_errors
from MedSegTrainerUI.slicer_types import Ui

PIECES_MILLISECONDS = 10
ENTRIES_AT_ONCE = 20  # looked at in one call; of those that are deleted one
IDLE_LOOKS = 60  # of the section, until the size is looked at again: a training may have changed it


class CacheSection(Protocol):
    """What has the widgets."""

    ui: Ui

    def tell(self, text: str, severity: str = "error") -> None: ...


class CacheRow:
    """``folder`` need not exist; it is looked at, and cleared, some entries at a time."""

    def __init__(self, section: CacheSection, folder: Path) -> None:
        self._section, self.ui, self._folder = section, section.ui, folder
        self.bytes: int | None = None  # as it was last counted
        self._pieces: Iterator[int] = iter(())
        self._counted, self._clearing, self._looks = 0, False, 0
        self._timer = qt.QTimer()
        self._timer.setInterval(PIECES_MILLISECONDS)
        self._timer.connect("timeout()", self.onMore)
        self.ui.clearCacheButton.connect("clicked(bool)", self.onClear)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def cleanup(self) -> None:
        self._timer.stop()

    def look(self) -> None:
        """Now and then: counts anew, where nothing else goes on."""
        self._looks -= 1
        if self._looks <= 0 and not self._timer.active:
            self._count()

    def show(self) -> None:
        size = "..." if self.bytes is None else size_text(self.bytes)
        self.ui.cacheLabel.text = size
        self.ui.cacheLabel.toolTip = _(
            "What trainings have prepared of the cases, in {folder}. A training that goes on, and one on the same "
            "cases, finds it there. What was not used for longest is deleted when it becomes too large."
        ).format(folder=self._folder)
        why = _("It is being cleared.") if self._clearing else "" if self.bytes else _("There is nothing to clear.")
        tip = _("Deletes what was prepared; the next training prepares its cases again. Models and jobs stay.")
        allow(self.ui.clearCacheButton, why, tip)

    @report_errors
    def onClear(self) -> None:
        self.tell("")
        question = _("Delete the prepared cases ({size})? The next training prepares its cases again.")
        if slicer.util.confirmOkCancelDisplay(question.format(size=size_text(self.bytes or 0)), _("Clear the cache")):
            self._clearing = True
            self._begin(clear_entries(self._folder))

    @report_errors
    def onMore(self) -> None:
        """The next entries; at the end their bytes are known, or were freed."""
        for _entry in range(1 if self._clearing else ENTRIES_AT_ONCE):
            size = next(self._pieces, None)
            if size is None:
                self._timer.stop()
                self._finish()
                return
            self._counted += size

    def _count(self) -> None:
        self._looks = IDLE_LOOKS
        self._begin(entry_sizes(self._folder))

    def _begin(self, pieces: Iterator[int]) -> None:
        self._counted, self._pieces = 0, pieces
        self._timer.start()
        self.show()

    def _finish(self) -> None:
        if self._clearing:
            self._clearing = False
            self.tell(_("{size} were freed.").format(size=size_text(self._counted)), "note")
            self._count()
            return
        self.bytes = self._counted
        self.show()
