"""Tables of the panel: rows of cells with texts, marks and colours, as wide as their texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import qt

from MedSegTrainerUI.shared.row_breaks import NARROWEST
from MedSegTrainerUI.slicer_types import QtObject, Widget

SEVERITIES = ("error", "warning", "note")
DOT_COLORS = {"error": (198, 40, 50), "warning": (217, 154, 28), "note": (59, 120, 195), "": (63, 155, 79)}
MOST_ROWS_SHOWN = 6
BESIDE = 30  # pixels of the panel that no table gets: margins of its section, frame, scroll bar
ROW_MARGIN = 6  # pixels above and below the text of a row, together


@dataclass(frozen=True, kw_only=True)
class Cell:
    """``checked`` None: no check mark. ``swatch``, ``dot``: RGB (0-255) of a square or a disc before the text."""

    text: str = ""
    tip: str = ""
    checked: bool | None = None
    swatch: tuple[int, int, int] | None = None
    dot: tuple[int, int, int] | None = None
    editable: bool = False
    right: bool = False
    faint: bool = False


def prepare(table: Widget, stretched: Sequence[int], widths: Mapping[int, int] | None = None) -> None:
    """Columns as wide as their content, or as ``widths`` (pixels; 0: as their title) says, but those that share the
    rest. Where the titles alone are wider than the panel, with large fonts, the table can be scrolled."""
    header = table.horizontalHeader()
    header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    for column in stretched:
        header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
    for column, width in (widths or {}).items():
        header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
        header.resizeSection(column, width or header.sectionSizeHint(column))
    titles = [header.sectionSizeHint(column) for column in range(table.columnCount)]
    if sum(titles) + BESIDE > NARROWEST:
        for column in stretched:
            header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
            header.resizeSection(column, titles[column])
        table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAsNeeded)
    row_height = table.fontMetrics().height() + ROW_MARGIN
    table.verticalHeader().setDefaultSectionSize(max(row_height, table.verticalHeader().defaultSectionSize))


def fill(table: Widget, rows: Sequence[Sequence[Cell]], fewest: int, before: Sequence[Sequence[Cell]] = ()) -> None:
    """Shows ``rows`` without a signal; the selection stays. The table is as high as its rows, within limits.

    before: what it shows, an empty row where that is not known; cells that are the same are not made again.
    """
    blocked = table.blockSignals(True)
    with _widths_kept(table):
        table.setRowCount(len(rows))
        for index, cells in enumerate(rows):
            earlier_cells = (before[index] if index < len(before) else ()) or (None,) * len(cells)
            for column, (cell, earlier) in enumerate(zip(cells, earlier_cells, strict=True)):
                if cell != earlier:
                    table.setItem(index, column, _item(cell))
    table.blockSignals(blocked)
    visible = min(max(len(rows), fewest), MOST_ROWS_SHOWN)
    row_height = table.verticalHeader().defaultSectionSize
    is_scrolled = table.horizontalScrollBarPolicy != qt.Qt.ScrollBarAlwaysOff
    bar = table.horizontalScrollBar().sizeHint.height() if is_scrolled else 0
    header = table.horizontalHeader().sizeHint.height()
    table.setFixedHeight(header + visible * row_height + bar + 2 * table.frameWidth + 2)


class ChangedCells:
    """A table in which only what differs is drawn anew, so that an edit that was begun goes on."""

    def __init__(self, table: Widget) -> None:
        self._table = table
        self._rows: list[Sequence[Cell]] | None = None

    def fill(self, rows: Sequence[Sequence[Cell]], fewest: int) -> None:
        """As ``fill`` of the whole table."""
        if self._rows is None or self._rows != list(rows):
            before, self._rows = self._rows, list(rows)
            fill(self._table, rows, fewest, before or ())

    def forget(self, row: int) -> None:
        """The user has changed it: it is drawn anew with the next ``fill``."""
        if self._rows is not None:
            self._rows[row] = ()


@contextmanager
def _widths_kept(table: Widget) -> Iterator[None]:
    """Columns as wide as their content are measured once, at the end: Qt would measure all rows at every new cell."""
    header, by_content = table.horizontalHeader(), qt.QHeaderView.ResizeToContents
    columns = [one for one in range(table.columnCount) if header.sectionResizeMode(one) == by_content]
    for column in columns:
        header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
    yield
    for column in columns:
        header.setSectionResizeMode(column, by_content)


def selected_rows(table: Widget) -> list[int]:
    return sorted({index.row() for index in table.selectionModel().selectedRows()})


def format_ml(ml: float) -> str:
    """Three figures are enough for a volume."""
    return f"{ml:.3g}" if ml < 100 else f"{ml:.0f}"


def _item(cell: Cell) -> QtObject:
    item = qt.QTableWidgetItem(cell.text)
    item.setToolTip(cell.tip)
    flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
    if cell.checked is not None:
        flags = flags | qt.Qt.ItemIsUserCheckable
        item.setCheckState(qt.Qt.Checked if cell.checked else qt.Qt.Unchecked)
    item.setFlags(flags | qt.Qt.ItemIsEditable if cell.editable else flags)
    if cell.swatch is not None:
        item.setIcon(_icon(cell.swatch, disc=False))
    if cell.dot is not None:
        item.setIcon(_icon(cell.dot, disc=True))
    if cell.right:
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    if cell.faint:
        item.setForeground(qt.QBrush(qt.QColor(128, 128, 128)))
    return item


def _icon(color: Sequence[int], *, disc: bool) -> QtObject:
    pixmap = qt.QPixmap(14, 14)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    painter.setPen(qt.QPen(qt.QColor(*color).darker(130)))
    painter.setBrush(qt.QBrush(qt.QColor(*color)))
    if disc:
        painter.drawEllipse(2, 2, 9, 9)
    else:
        painter.drawRect(1, 1, 11, 11)
    painter.end()
    return qt.QIcon(pixmap)
