"""The list of trainings with its buttons: watch, resume, report, use, remove, and what was removed back again."""

from __future__ import annotations

import time

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.jobs.event_text import size_text
from MedSegTrainerUI.jobs.job_table import JobTable
from MedSegTrainerUI.jobs.job_trash import JobTrash, RemovedJob
from MedSegTrainerUI.jobs.undo_offer import UndoOffer
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.train.job_protocol import JobView
from MedSegTrainerUI.train.version_table import VersionTable

LIST_SECONDS = 5.0
Offer = tuple[bool, str]  # whether a button can be pressed; why not, or what it does


class TrainingList:
    """``section`` has the widgets, the panel and the JobWatch that is shown."""

    def __init__(self, section: JobView) -> None:
        self._section, self.ui, self.panel = section, section.ui, section.panel
        self.trash = JobTrash(self.panel.jobs)
        self.table = JobTable(self.ui.jobsTable, self.panel.jobs, self.trash)
        self.versions = VersionTable(self.ui.versionsTable, self.panel.jobs)
        self._due = 0.0
        self.undo = UndoOffer(self.ui, self.trash)
        self.ui.jobsButton.collapsed = True
        for name, slot in {
            "watchButton": self.onWatch,
            "jobResumeButton": self.onResume,
            "reportButton": self.onReport,
            "useButton": self.onUse,
            "removeButton": self.onRemove,
            "restoreButton": self.onRestore,
            "undoButton": self.onUndo,
            "backButton": self.onBack,
        }.items():
            getattr(self.ui, name).connect("clicked()", slot)
        self.ui.jobsButton.connect("contentsCollapsed(bool)", self.onCollapsed)
        self.ui.jobsTable.connect("itemSelectionChanged()", self.refresh)
        self.ui.jobsTable.connect("cellDoubleClicked(int,int)", self.onWatch)
        self.ui.versionsTable.connect("itemSelectionChanged()", self.refresh)
        self.ui.versionsTable.connect("cellDoubleClicked(int,int)", self.onWatch)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def look_again(self) -> None:
        """With the next call of the timer: a job has come, gone or ended."""
        self._due = 0.0

    @report_errors
    def onTimer(self) -> None:
        self.trash.work()
        if not self.ui.jobsButton.collapsed and time.monotonic() > self._due:
            self.show()

    def show(self) -> None:
        watch = self._section.watched
        count = self.table.refresh(watch.name if watch is not None else "")
        self._due = time.monotonic() + LIST_SECONDS if self.table.complete else 0.0
        more = "" if self.table.complete else "+"
        self.ui.jobsButton.text = _("Trainings ({count})").format(count=f"{count}{more}")
        self.refresh()

    def refresh(self) -> None:
        """What can be done with the chosen one."""
        parameters, line = self._section.parameters, self.table.line()
        self.versions.show(line, parameters.model if parameters is not None else "")
        row, folder = self.table.chosen(), self._folder()
        buttons = _offers(folder)
        self.ui.backButton.visible = len(line) > 1
        buttons["restoreButton"] = (False, _("Brings back what was removed: choose it at the end of the list."))
        self.ui.removeButton.text = _("Remove")
        if row is not None and row.removed is not None:
            size = size_text(row.removed.size) if row.removed.size is not None else "..."
            buttons = dict.fromkeys(buttons, (False, _("It was removed. Bring it back first.")))
            buttons["restoreButton"] = (True, _("Brings it back, as it was."))
            buttons["removeButton"] = (True, _("Deletes its files now: {size}. Asks first.").format(size=size))
            self.ui.removeButton.text = _("Delete")
        for name, (enabled, tip) in buttons.items():
            button = getattr(self.ui, name)
            button.enabled, button.toolTip = enabled, tip

    @report_errors
    def onCollapsed(self, collapsed: bool) -> None:
        if not collapsed:
            self.show()

    @report_errors
    def onWatch(self) -> None:
        folder = self._folder()
        if folder is not None:
            self.tell("")
            self._section.follow(folder)
            self.panel.refresh()

    @report_errors
    def onResume(self) -> None:
        folder = self._folder()
        if folder is not None:
            self._section.resume(folder)

    @report_errors
    def onReport(self) -> None:
        folder = self._folder()
        if folder is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder.report / "report.html")))

    @report_errors
    def onUse(self) -> None:
        folder = self._folder()
        if folder is not None and self._section.parameters is not None:
            self._section.parameters.model = str(folder.path)
            self.tell(_("{name} is chosen in the section Apply.").format(name=folder.path.name), "note")

    @report_errors
    def onBack(self) -> None:
        """The chosen version is the one to apply and to go on from."""
        folder, parameters = self._folder(), self._section.parameters
        if folder is None or parameters is None:
            return
        path = str(folder.path)
        with self.panel.changing():
            parameters.model = path
            if parameters.startModel:
                parameters.startModel, parameters.startRename, parameters.startAdapt = path, "{}", False
            self._section.follow(folder)
        text = _("{name} is the version that section 3 applies and that Continue goes on from.")
        self.tell(text.format(name=folder.path.name), "note")

    @report_errors
    def onRemove(self) -> None:
        row, folder = self.table.chosen(), self._folder()
        if row is not None and row.removed is not None:
            self._delete(row.removed)
        elif folder is not None:
            removed = self.trash.put(folder)
            self._section.let_go(folder)
            self.undo.show(removed)
            self._changed()

    @report_errors
    def onRestore(self) -> None:
        row = self.table.chosen()
        if row is not None and row.removed is not None:
            self._is_back(self.trash.restore(row.removed))

    @report_errors
    def onUndo(self) -> None:
        self._is_back(self.undo.undo())

    def _delete(self, removed: RemovedJob) -> None:
        question = _("Delete the training {name} with its model and its report for good? This cannot be undone.")
        if slicer.util.confirmOkCancelDisplay(question.format(name=removed.job)):
            self.trash.delete(removed)
            self._changed()

    def _is_back(self, folder: JobFolder) -> None:
        self._changed()
        self.tell(_("{name} is back.").format(name=folder.path.name), "note")

    def _changed(self) -> None:
        self.tell("")
        self.undo.refresh()
        self.show()
        self.panel.refresh()

    def _folder(self) -> JobFolder | None:
        """Of the chosen training, of several versions the chosen one; None where it was removed."""
        row, line = self.table.chosen(), self.table.line()
        if row is None or row.removed is not None:
            return None
        version = self.versions.chosen() if len(line) > 1 else ""
        return self.panel.jobs.folder(version if version in [one.name for one in line] else row.name)


def _offers(folder: JobFolder | None) -> dict[str, Offer]:
    """By the names of the buttons."""
    buttons = {
        "watchButton": (True, _("Shows its curves, advice and log here.")),
        "jobResumeButton": (True, _("Goes on where it ended.")),
        "reportButton": (True, _("Opens its report in the browser.")),
        "useButton": (True, _("Chooses its model in the section Apply.")),
        "backButton": (True, _("Makes this version the one that is applied, and that a training goes on from.")),
        "removeButton": (True, _("Removes it with its model and its report; it can be brought back.")),
    }
    if folder is None:
        return dict.fromkeys(buttons, (False, _("Choose a training in the list.")))
    status = folder.status()
    if status.is_alive():
        buttons["removeButton"] = (False, _("It is running. Stop it first."))
        buttons["jobResumeButton"] = (False, _("It is running."))
    elif status.state == "finished":
        buttons["jobResumeButton"] = (False, _("It is done: there is nothing left to do."))
    if not (folder.report / "report.html").exists():
        buttons["reportButton"] = (False, _("The report is written when a training ends properly."))
    if not folder.model.exists():
        buttons["useButton"] = buttons["backButton"] = (False, _("It has no model yet."))
    return buttons
