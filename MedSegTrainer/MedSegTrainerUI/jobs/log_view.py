"""The log of a job: its events in words, then what else its process logged or printed."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from MedSegTrainerLib.job_logging import EVENTS, is_log_line
from MedSegTrainerUI.jobs.event_text import event_line, log_tail
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.slicer_types import Widget

MOST_LINES = 1000
HEIGHT = 140
PRINTED_BYTES = 8000


class JobLog:
    """A read-only text in the layout of ``frame``, to which is appended what is new."""

    def __init__(self, frame: Widget) -> None:
        self.edit = qt.QPlainTextEdit()
        self.edit.readOnly = True
        self.edit.toolTip = _("What the training tells, line by line.")
        self.edit.minimumHeight = HEIGHT
        self.edit.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
        frame.layout().addWidget(self.edit)
        self._watch: JobWatch | None = None
        self._count = 0
        self._printed = ""
        self.edit.maximumBlockCount = MOST_LINES

    def show(self, watch: JobWatch | None) -> None:
        """Brings the text up to date, an append for all new lines."""
        if watch is not self._watch:
            self._watch, self._count, self._printed = watch, 0, ""
            self.edit.clear()
        if watch is None:
            return
        new = min(watch.news_count - self._count, len(watch.news))
        lines = [event_line(event) for event in list(watch.news)[len(watch.news) - new :]] if new else []
        self._count = watch.news_count
        printed = log_tail(watch, PRINTED_BYTES)
        if printed != self._printed:
            more = printed[len(self._printed) :] if printed.startswith(self._printed) else printed
            further = [f"    {line}" for line in more.splitlines() if not is_log_line(line, EVENTS)]
            lines += [_("log:"), *further] if further else []
            self._printed = printed
        self.append("\n".join(filter(None, lines)))

    def append(self, text: str) -> None:
        if text:
            self.edit.appendPlainText(text)
