"""Results of a model that are not in the scene: of earlier sessions, or whose volumes were not there."""

from __future__ import annotations

import shutil
from typing import Protocol

from slicer.i18n import tr as _

from MedSegTrainerUI.apply.applied_results import AppliedResults
from MedSegTrainerUI.apply.result_view import ResultSection, ResultView
from MedSegTrainerUI.apply.run import ApplyRun
from MedSegTrainerUI.jobs.job_trash import JobTrash
from MedSegTrainerUI.jobs.undo_offer import UndoOffer
from MedSegTrainerUI.models.model_card import when
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.shared.messages import report_errors


class ImportingSection(ResultSection, Protocol):
    """What can import results and show them."""

    panel: PanelView
    shown: ResultView


class WaitingResults:
    """``section`` has the widgets, the panel and the view of results. ``runs``: the newest first."""

    def __init__(self, section: ImportingSection) -> None:
        self._section, self.ui = section, section.ui
        self.runs: list[ApplyRun] = []
        self._discarded: list[ApplyRun] = []  # may be brought back, here or in the list of trainings
        self.trash = JobTrash(section.panel.jobs)
        self.undo = UndoOffer(self.ui, self.trash)
        self.ui.importButton.connect("clicked(bool)", self.onImport)
        self.ui.discardButton.connect("clicked(bool)", self.onDiscard)
        self.ui.undoButton.connect("clicked()", self.onUndo)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def refresh(self) -> None:
        for run in [run for run in self._discarded if run.folder.job_file.exists()]:
            self._discarded.remove(run)
            self.runs.insert(0, run)
        self.undo.refresh()
        self.ui.resultsFrame.visible = bool(self.runs)
        if self.runs:
            run = self.runs[0]
            names = [run.record["cases"][case]["name"] for case in run.waiting()]
            self.ui.resultsLabel.text = _("Not in the scene: results of {model} on {names}, {when}.").format(
                model=run.title, names=", ".join(names), when=when(run.made)
            )
            tip = _("Adds the segments to the volumes they belong to, which must be in the scene.")
            self.ui.importButton.toolTip = tip
            self.ui.discardButton.toolTip = _("Removes these results; they can be brought back.")

    def keep_or_forget(self, run: ApplyRun) -> None:
        """Results that are not in the scene are offered again; a run that was cancelled and left none is deleted."""
        if run in self.runs:
            self.runs.remove(run)
        if run.waiting():
            self.runs.insert(0, run)
        elif run.cancelled and not any(entry["imported"] for entry in run.record["cases"].values()):
            shutil.rmtree(run.folder.path, ignore_errors=True)

    @report_errors
    def onImport(self) -> None:
        self.tell("")
        section, run = self._section, self.runs[0]
        results = AppliedResults()
        section.shown.clear()
        try:
            for case in run.waiting():
                node = run.import_result(case)
                results.show(run, node, section.panel.entered)
                section.shown.add(node)
        finally:
            self.keep_or_forget(run)
            section.panel.refresh()
        text, severity = run.end_text()
        self.tell(text + results.text(), severity)

    @report_errors
    def onDiscard(self) -> None:
        run = self.runs[0]
        self.tell("")
        self.undo.show(self.trash.put(run.folder))
        self.runs.remove(run)
        self._discarded.append(run)
        self._section.panel.refresh()

    @report_errors
    def onUndo(self) -> None:
        self.undo.undo()
        self._section.panel.refresh()
