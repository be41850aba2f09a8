"""The list of trainings on this computer, newest first, with what became of each; below them those in the trash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.jobs.event_text import size_text, state_word, when_text
from MedSegTrainerUI.jobs.job_list import JobList, JobSummaries, JobSummary
from MedSegTrainerUI.jobs.job_trash import JobTrash, RemovedJob
from MedSegTrainerUI.jobs.training_lines import lines_of
from MedSegTrainerUI.slicer_types import Widget

MOST_ROWS = 500
ROWS_MEASURED = 20  # for the widths of the columns
READ_AT_ONCE = 15  # jobs whose files are read in one call


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """``removed`` None: trainings of one line that are in the list, of which ``name`` is the newest; ``cells`` are the
    texts of its columns."""

    name: str
    cells: tuple[str, ...]
    watched: bool = False
    removed: RemovedJob | None = None

    @property
    def key(self) -> tuple[str, bool]:
        return self.name, self.removed is not None


class JobTable:
    """Fills a QTableWidget; rows stay as they are while nothing has changed."""

    def __init__(self, table: Widget, jobs: JobList, trash: JobTrash) -> None:
        self._table, self._jobs, self._trash = table, jobs, trash
        self._summaries = JobSummaries()
        self._displayed: list[JobRow] = []
        self._lines: list[list[JobSummary]] = []
        self.complete = False
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("Training"), _("State"), _("Dice"), _("Classes"), _("Started")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setResizeContentsPrecision(ROWS_MEASURED)
        table.horizontalHeader().setStretchLastSection(True)
        table.horizontalHeader().setHighlightSections(False)
        table.verticalHeader().setVisible(False)

    def refresh(self, watched: str) -> int:
        """Reads the folder again; returns how many lines of trainings it holds. ``watched``: the one that is shown.

        ``complete`` tells whether all were read: of many only some are read in one call.
        """
        summaries, self.complete = self._summaries.read(self._jobs.all()[:MOST_ROWS], READ_AT_ONCE)
        self._lines = lines_of([one for one in summaries if one.kind == "train"])
        rows = [_row(line, any(one.name == watched for one in line)) for line in self._lines]
        expected = [*rows, *(_removed_row(one) for one in self._trash.items())]
        if expected != self._displayed:
            self._fill(expected)
        return len(rows)

    def line(self) -> list[JobSummary]:
        """The trainings of the chosen row, the newest first; empty where none is chosen, or it was removed."""
        row = self.chosen()
        if row is None or row.removed is not None:
            return []
        return next((line for line in self._lines if line[0].name == row.name), [])

    def chosen(self) -> JobRow | None:
        row = self._table.currentRow()
        return self._displayed[row] if 0 <= row < len(self._displayed) else None

    def _fill(self, expected: Sequence[JobRow]) -> None:
        chosen = self.chosen()
        blocked = self._table.blockSignals(True)
        self._move_rows(expected)
        for index, row in enumerate(expected):
            if self._displayed[index] != row:
                self._set_cells(index, row)
        self._displayed = list(expected)
        self._table.blockSignals(blocked)
        keys = [row.key for row in expected]
        if chosen is not None and chosen.key in keys:
            self._table.setCurrentCell(keys.index(chosen.key), 0)
        elif keys:
            self._table.setCurrentCell(0, 0)

    def _move_rows(self, expected: Sequence[JobRow]) -> None:
        """Rows come and go; those that stay are not made again: hundreds would take long."""
        keys = {row.key for row in expected}
        for index in reversed(range(len(self._displayed))):
            if self._displayed[index].key not in keys:
                self._drop(index)
        for index, row in enumerate(expected):
            if index < len(self._displayed) and self._displayed[index].key == row.key:
                continue
            later = next((at for at in range(index, len(self._displayed)) if self._displayed[at].key == row.key), None)
            if later is not None:
                self._drop(later)
            self._table.insertRow(index)
            self._displayed.insert(index, JobRow(name=row.name, cells=(), removed=row.removed))

    def _drop(self, index: int) -> None:
        self._table.removeRow(index)
        del self._displayed[index]

    def _set_cells(self, index: int, row: JobRow) -> None:
        for column, text in enumerate(row.cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            if row.watched:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            if row.removed is not None:
                item.setForeground(qt.QBrush(qt.QColor(128, 128, 128)))
            self._table.setItem(index, column, item)


def _row(line: Sequence[JobSummary], watched: bool) -> JobRow:
    """The newest of a line stands for all of it."""
    summary = line[0]
    name = summary.name if len(line) == 1 else _("{name} ({n} versions)").format(name=summary.name, n=len(line))
    dice = "-" if summary.dice is None else f"{summary.dice:.2f}"
    cells = (name, state_word(summary.state), dice, ", ".join(summary.classes), when_text(summary.created))
    return JobRow(name=summary.name, cells=cells, watched=watched)


def _removed_row(removed: RemovedJob) -> JobRow:
    size = size_text(removed.size) if removed.size is not None else "..."
    cells = (
        removed.job,
        _("removed, {size}").format(size=size),
        "",
        _("deleted in {days} days").format(days=removed.days_left),
        when_text(removed.removed),
    )
    return JobRow(name=removed.name, cells=cells, removed=removed)
