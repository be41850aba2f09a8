"""The lines above the two charts: the classes with their newest Dice, and a way back to the whole of the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.jobs.event_text import class_legend
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.train.job_protocol import JobView


class ChartTitles:
    """``section`` has the widgets and the charts."""

    def __init__(self, section: JobView) -> None:
        self._section = section
        self._legend = ""
        self._zoomed: frozenset[str] = frozenset()
        self._labels = {"dice": section.ui.diceLabel, "loss": section.ui.lossLabel}
        for label in self._labels.values():
            label.setTextFormat(qt.Qt.RichText)
            label.connect("linkActivated(QString)", self.onLink)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def show(self, classes: Sequence[Mapping[str, Any]], mean: float | None, dice: Mapping[str, float | None]) -> None:
        """classes: with name and color (RGB, 0-255); their newest Dice, and the mean of it."""
        self._legend = class_legend(classes, mean, dice, self._ink())
        self._write()

    def look(self) -> None:
        """Whether the user has enlarged a part of a chart, or shows all again."""
        if self._section.charts.zoomed != self._zoomed:
            self._write()

    @report_errors
    def onLink(self, name: str) -> None:
        self._section.charts.show_all(name)
        self._write()

    def _write(self) -> None:
        self._zoomed = self._section.charts.zoomed
        for name, title in (("dice", self._legend), ("loss", f"<b>{_('Loss')}</b>")):
            link = f"<a href='{name}' style='color:{self._ink()}'>{_('Show all')}</a>"
            self._labels[name].text = f"{title} &nbsp;{link}" if name in self._zoomed else title

    def _ink(self) -> str:
        """That of the labels: Qt's own blue of links cannot be read on a dark ground."""
        return str(self._labels["dice"].palette.color(qt.QPalette.WindowText).name())
