"""The table of classes, and what the user decides in it: what is learned, merged, renamed and left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import qt

from MedSegTrainerUI.data import class_decisions
from MedSegTrainerUI.data.tables import CLASS, LEARN, class_cells
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.shared.tables import ChangedCells, prepare, selected_rows
from MedSegTrainerUI.slicer_types import Ui

FEWEST_ROWS = 2  # that there is room for


class ClassSection(Protocol):
    """What has the table; ``look_again``: the scene is looked at anew, as what was decided has changed."""

    ui: Ui
    panel: PanelView
    parameters: Parameters | None

    def tell(self, text: str, severity: str = "error") -> None: ...

    def look_again(self) -> None: ...


class ClassTable:
    def __init__(self, section: ClassSection) -> None:
        ui = section.ui
        self._section, self._table = section, ui.classesTable
        self._cells = ChangedCells(self._table)
        self._rows: list[SegmentClass] = []
        prepare(self._table, (CLASS,))
        for button, slot in (
            (ui.mergeButton, self.onMerge),
            (ui.renameButton, self.onRename),
            (ui.leaveOutButton, self.onLeaveOut),
            (ui.resetButton, self.onReset),
        ):
            button.connect("clicked(bool)", slot)
        self._table.connect("cellChanged(int,int)", self.onChanged)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def show(self, classes: Sequence[SegmentClass], left_out: Sequence[SegmentClass]) -> None:
        self._rows = [*classes, *left_out]
        self._cells.fill(class_cells(classes, left_out), FEWEST_ROWS)

    def selected(self) -> list[SegmentClass]:
        return [self._rows[i] for i in selected_rows(self._table) if i < len(self._rows)]

    def merge(self, classes: Sequence[SegmentClass]) -> None:
        self._decide(class_decisions.merge(self._names(), classes))

    def edit_name(self, item: SegmentClass) -> None:
        """Lets the user type another name for it."""
        self._table.selectRow(self._rows.index(item))
        self.onRename()

    @report_errors
    def onChanged(self, row: int, column: int) -> None:
        item, cell, names = self._rows[row], self._table.item(row, column), self._names()
        self._cells.forget(row)  # what was typed may differ from what is to be displayed
        if column == LEARN:
            is_learned = cell.checkState() == qt.Qt.Checked
            change = class_decisions.take_back if is_learned else class_decisions.leave_out
            self._decide(change(names, [item]))
        elif column == CLASS and cell.text().strip():
            self._decide(class_decisions.rename(names, item, cell.text().strip()))
        else:
            self._decide(names)

    @report_errors
    def onMerge(self) -> None:
        self.merge(self.selected())

    @report_errors
    def onRename(self) -> None:
        self._table.editItem(self._table.item(selected_rows(self._table)[0], CLASS))

    @report_errors
    def onLeaveOut(self) -> None:
        self._decide(class_decisions.leave_out(self._names(), self.selected()))

    @report_errors
    def onReset(self) -> None:
        open_scene(self._section.parameters).overlap = "masks"
        self._decide({})

    def _names(self) -> dict[str, str]:
        return self._section.panel.class_names()

    def _decide(self, names: Mapping[str, str]) -> None:
        self._table.clearSelection()
        self._section.look_again()
        with self._section.panel.changing():
            open_scene(self._section.parameters).classNames = json.dumps(names)
