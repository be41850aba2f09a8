"""The order in which the tabulator goes through the panel: as it is read, from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import qt

from MedSegTrainerUI.slicer_types import Widget

CONTAINERS = ("ctkCollapsibleButton", "QScrollArea")  # take the focus, and hold others that do


def set_tab_order(widget: Widget) -> None:
    """Of all below ``widget``: Qt itself puts what was loaded later, such as a section, behind all others."""
    for one, following in pairwise(tab_stops(widget)):
        qt.QWidget.setTabOrder(one, following)


def tab_stops(widget: Widget) -> Iterator[Widget]:
    """Widgets that the tabulator reaches, in the order of the .ui files; the insides of combo boxes are their own."""
    for child in widget.children():
        if not child.isWidgetType():
            continue
        takes_focus = bool(int(child.focusPolicy) & int(qt.Qt.TabFocus))
        if takes_focus:
            yield child
        if not takes_focus or child.metaObject().className() in CONTAINERS:
            yield from tab_stops(child)
