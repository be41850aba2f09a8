"""The history of one line of trainings: how many cases each version had, how long it took, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.jobs.event_text import when_text
from MedSegTrainerUI.jobs.job_list import JobList, JobSummary
from MedSegTrainerUI.models.model_list import ModelList
from MedSegTrainerUI.slicer_types import Widget

Row = tuple[str, tuple[str, ...], bool]  # name, cells, whether it is the one in use


class VersionTable:
    """Fills a QTableWidget, the newest version first; hidden where there is one version only."""

    def __init__(self, table: Widget, jobs: JobList) -> None:
        self._table, self._jobs, self._models = table, jobs, ModelList()
        self._displayed: list[Row] = []
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("Version"), _("Cases"), _("Minutes"), _("Dice"), _("Started")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setStretchLastSection(True)
        table.horizontalHeader().setHighlightSections(False)
        table.verticalHeader().setVisible(False)

    def show(self, line: Sequence[JobSummary], used: str) -> None:
        """line: the newest first. used: path of the model that is chosen in section 3."""
        rows = [self._row(one, len(line) - index, used) for index, one in enumerate(line)]
        self._table.visible = len(rows) > 1
        if rows == self._displayed:
            return
        chosen, names = self.chosen(), [name for name, _cells, _used in rows]
        same = set(names) & {name for name, _cells, _used in self._displayed}
        blocked = self._table.blockSignals(True)
        self._displayed = rows
        self._fill()
        self._table.setCurrentCell(names.index(chosen) if same and chosen in names else 0, 0)
        self._table.blockSignals(blocked)

    def chosen(self) -> str:
        """Name of the chosen training; '' where the table is empty."""
        row = self._table.currentRow()
        return self._displayed[row][0] if 0 <= row < len(self._displayed) else ""

    def _row(self, summary: JobSummary, number: int, used: str) -> Row:
        path = str(self._jobs.root / summary.name)
        card = self._models.card(path)
        cases, minutes, dice = "-", "-", summary.dice
        if card is not None:
            cases = str(card.trained)
            minutes = "-" if card.minutes is None else f"{card.minutes:.1f}"
            dice = card.mean_dice
        numbers = (cases, minutes, "-" if dice is None else f"{dice:.2f}")
        return summary.name, (f"{number}: {summary.name}", *numbers, when_text(summary.created)), path == used

    def _fill(self) -> None:
        self._table.setRowCount(len(self._displayed))
        for index, (_name, cells, is_used) in enumerate(self._displayed):
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(_("{text}. The model that section 3 applies.").format(text=text) if is_used else text)
                font = item.font()
                font.setBold(is_used)
                item.setFont(font)
                self._table.setItem(index, column, item)
