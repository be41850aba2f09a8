"""What the advisor found in the curves: a line each, with a button that makes the change for the next start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import qt
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerUI.jobs.job_monitor import Event
from MedSegTrainerUI.shared.tab_order import set_tab_order
from MedSegTrainerUI.slicer_types import Widget
from MedSegTrainerUI.train.settings import all_settings, full_key, parse_value, show_value

GOOD = "healthy"


class AdviceList:
    """Rows in the layout of ``frame``. apply(changes): called with the settings of a finding that is applied."""

    def __init__(self, frame: Widget, apply: Callable[[dict[str, Any]], None]) -> None:
        self._frame, self._apply = frame, apply
        self._frame.visible = False
        self._displayed: list[Event] = []
        self._applied: Mapping[str, Any] = {}
        self._rows: list[Widget] = []
        self.buttons: list[Widget] = []

    def show(self, advice: Mapping[str, Event], applied: Mapping[str, Any]) -> None:
        """The newest event of each finding; ``applied`` are the settings changed so far."""
        events = list(advice.values())
        if events == self._displayed and applied == self._applied:
            return
        self._displayed, self._applied = events, dict(applied)
        for row in self._rows:
            self._frame.layout().removeWidget(row)
            row.hide()  # without its parent it would be gone at once, and it can hold the button that was clicked
            row.deleteLater()
        self._rows, self.buttons = [], []
        for event in events:
            self._add(event)
        self._frame.visible = bool(events)
        set_tab_order(self._frame.parent())

    def _add(self, event: Event) -> None:
        changes = remedy_changes(event)
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        layout.setContentsMargins(0, 2, 0, 2)
        color = "#3a9b4f" if event["finding"] == GOOD else "#d99a1c"
        text = qt.QLabel(f"<span style='color:{color}'>&#9679;</span> {escape(event['message'])}{_further(event)}")
        text.wordWrap = True
        text.setTextFormat(qt.Qt.RichText)
        layout.addWidget(text, 1)
        if changes:
            button = qt.QPushButton(_("Apply"))
            done = all(self._applied.get(key, all_settings()[key].default) == value for key, value in changes.items())
            button.enabled = not done
            listing = "<br>".join(
                f"{all_settings()[key].label}: <b>{escape(show_value(value))}</b>" for key, value in changes.items()
            )
            button.toolTip = (
                _("Already applied: it counts when a training is started.")
                if done
                else _("<p>Changes for the next start:<br>{changes}</p>").format(changes=listing)
            )
            button.connect("clicked()", lambda changes=changes: self._apply(changes))
            layout.addWidget(button, 0, qt.Qt.AlignTop)
            self.buttons.append(button)
        self._rows.append(row)
        self._frame.layout().addWidget(row)


def remedy_changes(event: Event) -> dict[str, Any]:
    """Settings that a finding suggests; of several ways to the same end the first. What is no setting is left out."""
    changes: dict[str, Any] = {}
    for remedy in event.get("remedies", []):
        key = full_key(remedy["setting"]) if remedy["setting"] else None
        if key is None or key in changes:
            continue
        try:
            changes[key] = parse_value(all_settings()[key], remedy["suggested"])
        except UsageError:
            continue
    return changes


def _further(event: Event) -> str:
    """What to do by hand, and why the settings would help."""
    lines = []
    for remedy in event.get("remedies", []):
        if remedy["setting"]:
            label = remedy["setting"].rpartition(".")[2].replace("_", " ")
            lines.append(f"{escape(label)}: {escape(remedy['current'])} &#8594; <b>{escape(remedy['suggested'])}</b>")
        else:
            lines.append(f"{escape(remedy['suggested'])} ({escape(remedy['why'])})")
    return "".join(f"<br>&nbsp;&nbsp;&#8226; {line}" for line in lines)
