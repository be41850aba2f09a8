"""The menu that says what was drawn in the selected cases, and where; a click on their cell of the table opens it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.data.drawn_texts import direction_name, state_name
from MedSegTrainerUI.data.tables import DRAWN
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.case_rows import Axis, CaseRow
from MedSegTrainerUI.scene.drawn_classes import State, class_states, has_voxels, set_looked_for
from MedSegTrainerUI.scene.result_origin import accept, is_result
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.shared.tables import selected_rows
from MedSegTrainerUI.slicer_types import QtObject, Ui


class DrawnSection(Protocol):
    """What has the table of rows; ``look_again``: the scene is looked at anew, as what was decided has changed."""

    ui: Ui
    panel: PanelView
    rows: list[CaseRow]
    classes: list[SegmentClass]

    def tell(self, text: str, severity: str = "error") -> None: ...

    def look_again(self) -> None: ...

    def write(self, rows: Sequence[CaseRow]) -> None: ...


class DrawnMenu:
    """``section`` has the button of the menu, and the table."""

    def __init__(self, section: DrawnSection) -> None:
        self._section = section
        self.menu = qt.QMenu(section.ui.drawnButton)
        self.submenus: dict[str, QtObject] = {}
        section.ui.drawnButton.setMenu(self.menu)
        self.menu.connect("aboutToShow()", self.onShow)
        section.ui.pairsTable.connect("cellClicked(int,int)", self.onClick)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    @report_errors
    def onClick(self, row: int, column: int) -> None:
        if column == DRAWN and row < len(self._section.rows):
            self.menu.popup(qt.QCursor.pos())

    @report_errors
    def onShow(self) -> None:
        """Filled anew each time: with the classes of now, and what is so in the selected cases."""
        self.menu.clear()
        for menu in self.submenus.values():  # the menu would keep them
            menu.deleteLater()
        self.submenus = {}
        rows = self._selected()
        if not rows:
            self._note(_("These cases lie in a folder: its drawn.json says what was drawn in them."))
            return
        states = [class_states(row, self._section.classes) for row in rows]
        for item in self._section.classes:
            self._add_class(item, {own[item.name] for own in states}, {has_voxels(row, item) for row in rows})
        self.menu.addSeparator()
        self._add_regions(rows)

    def _selected(self) -> list[CaseRow]:
        """Those that can be changed: cases of the scene that have a segmentation."""
        rows = self._section.rows
        chosen = [rows[index] for index in selected_rows(self._section.ui.pairsTable) if index < len(rows)]
        return [row for row in chosen if row.segmentation is not None]

    def _add_class(self, item: SegmentClass, states: set[State], filled: set[bool]) -> None:
        """filled: whether there are voxels of it, in each of the rows."""
        (own, *others) = sorted(states)
        name = item.name.replace("&", "&&")
        menu = self._submenu(f"{name}: {state_name(own)}" if not others else name)
        entries: list[tuple[State, str]] = [
            ("drawn", _("Drawn here")),
            ("absent", _("Looked for, and not there")),
            ("not drawn", _("Not drawn here: what is there is not learned") if True in filled else _("Not drawn here")),
        ]
        for state, text in entries:
            if state == "not drawn" or (state == "drawn") in filled:
                _add(menu, text, states == {state}, functools.partial(self.onState, item, state))

    def _add_regions(self, rows: Sequence[CaseRow]) -> None:
        results = [row for row in rows if is_result(row.segmentation)]
        if results:
            self._add_corrected(results)
        if len(results) < len(rows):
            self._add_drawn([row for row in rows if row not in results])

    def _add_corrected(self, rows: Sequence[CaseRow]) -> None:
        """What a model drew counts only where somebody has looked at it."""
        slices = self._submenu(_("Made by a model: drawn in the slices that were corrected"))
        axes: tuple[Axis, ...] = ("", "z", "y", "x")
        for axis in axes:
            text = _("{direction} slices").format(direction=direction_name(axis)) if axis else ""
            is_so = all(row.region == "corrected" and row.axis == axis for row in rows)
            act = functools.partial(self.onCorrected, axis)
            _add(slices, text or _("Direction found from what was changed"), is_so, act)
        everything = all(row.region == "everywhere" for row in rows)
        _add(self.menu, _("Made by a model: I looked at all of it"), everything, self.onAccepted)

    def _add_drawn(self, rows: Sequence[CaseRow]) -> None:
        regions = {(row.region, row.axis, row.roi) for row in rows}

        def add(menu: QtObject, text: str, **region: Any) -> None:
            wanted = {"axis": "", "roi": None, **region}
            is_so = regions == {(wanted["region"], wanted["axis"], wanted["roi"])}
            _add(menu, text, is_so, functools.partial(self.onRegion, wanted))

        add(self.menu, _("Drawn everywhere in the volume"), region="everywhere")
        slices = self._submenu(_("Drawn in the slices that have something in them"))
        add(slices, _("Direction found from what is drawn"), region="slices")
        for axis in ("z", "y", "x"):
            add(slices, _("{direction} slices").format(direction=direction_name(axis)), region="slices", axis=axis)
        rois = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
        if not rois:
            self._note(_("Drawn inside a ROI: there is none, make one in the module Markups"))
            return
        inside = self._submenu(_("Drawn inside the ROI"))
        for roi in rois:
            add(inside, roi.GetName().replace("&", "&&"), region="roi", roi=roi)

    def _submenu(self, text: str) -> QtObject:
        self.submenus[text] = self.menu.addMenu(text)
        return self.submenus[text]

    def _note(self, text: str) -> None:
        self.menu.addAction(text).setEnabled(False)

    @report_errors
    def onState(self, item: SegmentClass, state: State) -> None:
        """Of the selected cases those are changed that can be so: what has voxels is not absent, and the reverse."""
        rows = self._selected()
        self._section.look_again()
        with self._section.panel.changing():
            for row in rows:
                if state == "not drawn" or has_voxels(row, item) == (state == "drawn"):
                    set_looked_for(row, item, state != "not drawn")

    @report_errors
    def onRegion(self, region: dict[str, Any]) -> None:
        changed = [row for row in self._selected() if not is_result(row.segmentation)]
        self._section.write([replace(row, **region) if row in changed else row for row in self._section.rows])

    @report_errors
    def onCorrected(self, axis: Axis) -> None:
        """Of the selected results: not all of it was looked at, but slices of this direction, "" for any."""
        changed = self._results()
        for row in changed:
            accept(row.segmentation, False)
        self._section.write([replace(row, axis=axis) if row in changed else row for row in self._section.rows])

    @report_errors
    def onAccepted(self, accepted: bool) -> None:
        self._section.look_again()
        with self._section.panel.changing():
            for row in self._results():
                accept(row.segmentation, accepted)

    def _results(self) -> list[CaseRow]:
        return [row for row in self._selected() if is_result(row.segmentation)]


def _add(menu: QtObject, text: str, is_so: bool, act: Callable[[bool], None]) -> None:
    """An entry, with a check mark where it is so already."""
    action = menu.addAction(text)
    action.setCheckable(True)
    action.setChecked(is_so)
    action.connect("triggered(bool)", act)
