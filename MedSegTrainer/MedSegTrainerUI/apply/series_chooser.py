"""The table of series of the DICOM database, with a search and check marks."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.apply.dicom_series import Series, dicom_database, list_series
from MedSegTrainerUI.jobs.job_list import safe_name
from MedSegTrainerUI.shared.tables import Cell, ChangedCells, prepare
from MedSegTrainerUI.slicer_types import Ui

PATIENT, SERIES, MODALITY = range(3)
MOST_SHOWN = 100
PIECE_SECONDS = 0.015
PIECES_MILLISECONDS = 10  # until the next one: the user's clicks come between


class SeriesChooser:
    """``ui`` are the widgets of ManyVolumes.ui; ``changed`` is called when the choice is another one.

    series: all of the database that hold images; reading: they are still being listed.
    """

    def __init__(self, ui: Ui, changed: Callable[[], None]) -> None:
        self.ui, self._changed = ui, changed
        self.series: list[Series] = []
        self._checked: set[str] = set()
        self._coming: Iterator[Series] | None = None
        ui.seriesTable.setColumnCount(3)
        ui.seriesTable.setHorizontalHeaderLabels([_("Patient"), _("Series"), _("Kind")])
        prepare(ui.seriesTable, [PATIENT, SERIES])
        self._cells = ChangedCells(ui.seriesTable)
        self._timer = qt.QTimer()
        self._timer.setInterval(PIECES_MILLISECONDS)
        self._timer.connect("timeout()", self.onPiece)
        ui.seriesTable.connect("cellChanged(int,int)", self.onCheck)
        ui.searchLineEdit.connect("textChanged(QString)", self.onSearch)
        ui.chooseAllButton.connect("clicked(bool)", self.onAll)

    @property
    def reading(self) -> bool:
        return self._coming is not None

    def look_again(self) -> None:
        """Lists the database anew; what was chosen stays so."""
        database = dicom_database()
        self.series = []
        self._coming = list_series(database) if database is not None else iter(())
        self._timer.start()

    def chosen(self) -> list[Series]:
        return [one for one in self.series if one.uid in self._checked]

    def names(self) -> dict[str, str]:
        """What the results of the chosen series are called, by their UIDs: the same names at every run."""
        plain = {one.uid: safe_name(one.name) for one in self.series}
        shared = Counter(name.casefold() for name in plain.values())
        return {
            one.uid: plain[one.uid]
            if shared[plain[one.uid].casefold()] == 1
            else f"{plain[one.uid]}-{zlib.crc32(one.uid.encode()):08x}"
            for one in self.chosen()
        }

    def stop(self) -> None:
        self._timer.stop()
        self._coming = None

    def onPiece(self) -> None:
        until = time.perf_counter() + PIECE_SECONDS
        while self._coming is not None and time.perf_counter() < until:
            one = next(self._coming, None)
            if one is None:
                self.stop()
                self._checked &= {item.uid for item in self.series}
                self._show()
                self._changed()
                return
            self.series.append(one)
        self.ui.seriesLabel.text = _("Reading the DICOM database: {count} series").format(count=len(self.series))

    def onSearch(self, words: str) -> None:
        self._show()

    def onCheck(self, row: int, column: int) -> None:
        found = self._found()
        if column != PATIENT or row >= len(found):
            return
        checked = self.ui.seriesTable.item(row, column).checkState() == qt.Qt.Checked
        (self._checked.add if checked else self._checked.discard)(found[row].uid)
        self._cells.forget(row)
        self._show()
        self._changed()

    def onAll(self) -> None:
        found = {one.uid for one in self._found()}
        self._checked = self._checked - found if found <= self._checked else self._checked | found
        self._show()
        self._changed()

    def _found(self) -> list[Series]:
        return [one for one in self.series if one.matches(self.ui.searchLineEdit.text)]

    def _show(self) -> None:
        found = self._found()
        self._cells.fill([self._row(one) for one in found[:MOST_SHOWN]], 3)
        text = _("{chosen} chosen of {count} series.").format(chosen=len(self.chosen()), count=len(self.series))
        if len(found) > MOST_SHOWN:
            text += " " + _("The first {count} are shown: search for others.").format(count=MOST_SHOWN)
        self.ui.seriesLabel.text = text

    def _row(self, one: Series) -> list[Cell]:
        tip = "\n".join(filter(None, (one.patient, one.study, one.description, one.modality)))
        return [
            Cell(text=one.patient, tip=tip, checked=one.uid in self._checked),
            Cell(text=" ".join(filter(None, (one.study, one.description))), tip=tip),
            Cell(text=one.modality, tip=tip),
        ]
