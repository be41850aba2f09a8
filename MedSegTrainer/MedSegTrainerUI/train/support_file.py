"""The button below the log that writes the file to send when asking for help: the library does it, in a process."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.shared.messages import allow, report_errors
from MedSegTrainerUI.train.job_protocol import JobView

LONGEST_REASON = 600


class SupportFile:
    """``view`` has the widgets, the panel, the log and the job that is displayed."""

    def __init__(self, view: JobView) -> None:
        self._view = view
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._path = Path()
        view.ui.supportButton.connect("clicked()", self.onSave)

    def tell(self, text: str, severity: str = "error") -> None:
        self._view.tell(text, severity)

    def refresh(self) -> None:
        reason = _("It is being written.") if self._process is not None else self._view.panel.environment.problem
        tip = _("Packs what helps to find out what went wrong: settings, events, log and versions, and no images.")
        allow(self._view.ui.supportButton, reason, tip)

    @report_errors
    def onSave(self) -> None:
        watch = self._view.watched
        if watch is None:
            return
        name = "support-anonymous.zip" if self._view.ui.anonymousCheckBox.checked else f"{watch.name}-support.zip"
        path = qt.QFileDialog.getSaveFileName(
            self._view.ui.logButton, _("Save for support"), name, _("Zip file (*.zip)")
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Starts writing it, in place of what is there; ``poll`` says when it is done. Raises JobError."""
        watch = self._view.watched
        if watch is None or self._process is not None:
            return
        anonymous = ["--anonymous"] if self._view.ui.anonymousCheckBox.checked else []
        with suppress(OSError):  # then the process says so
            path.unlink(missing_ok=True)
        output = tempfile.TemporaryFile()  # noqa: SIM115  read when the process has ended
        try:
            arguments = ["support", str(watch.folder.path), "-o", str(path), *anonymous]
            self._process = self._view.panel.environment.start_command(arguments, output)
        except BaseException:
            output.close()
            raise
        self._output, self._path = output, path
        self.refresh()

    def poll(self) -> None:
        """Says what was written, once the process has ended."""
        if self._process is None or self._output is None or self._process.poll() is None:
            return
        code, self._process = self._process.returncode, None
        with self._output as output:
            output.seek(0)
            text = output.read().decode("utf-8", errors="replace").strip()
        self.refresh()
        if code:
            message = _("The file for support was not written: {reason}")
            self.tell(message.format(reason=text[-LONGEST_REASON:]))
            return
        self._view.log.append(text)
        message = _("{file} was written; the log lists what is in it. Look at it before you send it.")
        self.tell(message.format(file=self._path), "note")
