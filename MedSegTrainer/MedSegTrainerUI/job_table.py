"""The list of trainings on this computer, newest first, with what became of each."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.event_words import state_word, when_words
from MedSegTrainerUI.jobs import JobList, JobSummaries, JobSummary

MOST_ROWS = 100


class JobTable:
    """Fills a QTableWidget; rows stay as they are while nothing has changed."""

    def __init__(self, table: Any, jobs: JobList) -> None:
        self._table, self._jobs = table, jobs
        self._summaries = JobSummaries()
        self._shown: list[tuple[JobSummary, bool]] = []
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("Training"), _("State"), _("Dice"), _("Classes"), _("Started")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setStretchLastSection(True)
        table.verticalHeader().setVisible(False)

    def refresh(self, watched: str) -> int:
        """Reads the folder again; returns how many trainings it holds. ``watched``: the one that is shown."""
        summaries = []
        for folder in self._jobs.all()[:MOST_ROWS]:
            summary = self._summaries.of(folder)
            if summary.kind == "train":
                summaries.append(summary)
        wanted = [(summary, summary.name == watched) for summary in summaries]
        if wanted != self._shown:
            self._fill(wanted)
        return len(summaries)

    def selected(self) -> str:
        """The name of the chosen training, or ''."""
        row = self._table.currentRow()
        return self._shown[row][0].name if 0 <= row < len(self._shown) else ""

    def _fill(self, wanted: list[tuple[JobSummary, bool]]) -> None:
        chosen = self.selected()
        blocked = self._table.blockSignals(True)
        self._shown = wanted
        self._table.setRowCount(len(wanted))
        for row, (summary, is_watched) in enumerate(wanted):
            dice = "-" if summary.dice is None else f"{summary.dice:.2f}"
            cells = (
                summary.name, state_word(summary.state), dice, ", ".join(summary.classes), when_words(summary.created),
            )  # fmt: skip
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                if is_watched:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self._table.setItem(row, column, item)
        self._table.blockSignals(blocked)
        names = [summary.name for summary, _is_watched in wanted]
        if chosen in names:
            self._table.setCurrentCell(names.index(chosen), 0)
        elif names:
            self._table.setCurrentCell(0, 0)
