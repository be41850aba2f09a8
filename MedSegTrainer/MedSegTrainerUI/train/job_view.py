"""The job below Start: how it goes, its curves, prediction and advice; the log."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.jobs.event_text import compared_text, dice_text, ending, progress_text, start_text
from MedSegTrainerUI.jobs.job_bar import set_bar
from MedSegTrainerUI.jobs.job_list import job_classes, start_model
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.jobs.log_view import JobLog
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.shared.messages import report_errors, show_message
from MedSegTrainerUI.train.advice_list import AdviceList
from MedSegTrainerUI.train.chart_titles import ChartTitles
from MedSegTrainerUI.train.charts import Charts
from MedSegTrainerUI.train.plot_widget import PlotFrame
from MedSegTrainerUI.train.preview_box import PreviewBox
from MedSegTrainerUI.train.preview_choice import PreviewChoice
from MedSegTrainerUI.train.settings import read_changes
from MedSegTrainerUI.train.support_file import SupportFile
from MedSegTrainerUI.train.training_list import TrainingList

FIRST_POLL_SECONDS = 0.015  # most jobs are read in whole then, before the first picture
JOBS_LOOKED_AT = 20  # for one that still runs
WARNINGS_SHOWN = 3
RESUMABLE = ("created", "stopped", "failed", "died")


class JobSection:
    """``watched`` is the JobWatch of the training that is shown, or None. apply: takes settings of the advisor."""

    def __init__(self, panel: PanelView, apply: Callable[[dict[str, Any]], None]) -> None:
        self.panel = panel
        self.parameters: Parameters | None = None
        self.watched: JobWatch | None = None
        self.uiWidget = slicer.util.loadUI(panel.resourcePath("UI/JobSection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.ui.logButton.collapsed = True
        self.charts = Charts()
        self.chartTitles = ChartTitles(self)
        self.previewBox = PreviewBox(self, self.ui.previewCheckBox)
        self.preview = self.previewBox.preview
        self.previewChoice = PreviewChoice(self)
        self.advice = AdviceList(self.ui.adviceFrame, lambda changes: self.onApply(changes, apply))
        self.trainings = TrainingList(self)
        self.log = JobLog(self.ui.logFrame)
        self.support = SupportFile(self)
        self._frames = {"dice": PlotFrame(self.ui.diceFrame, "Dice"), "loss": PlotFrame(self.ui.lossFrame, "Loss")}
        self._classes: list[dict[str, Any]] = []
        self._state = ""
        self._saw_it_work = False
        self._layout_before: int | None = None
        for name, slot in {
            "stopKeepButton": self.onStopKeep,
            "stopNowButton": self.onStopNow,
            "resumeButton": self.onResume,
        }.items():
            getattr(self.ui, name).connect("clicked()", slot)
        self.ui.previewCheckBox.connect("clicked(bool)", self.onPreview)
        self.ui.layoutButton.connect("toggled(bool)", self.onLayout)
        self.ui.logButton.connect("contentsCollapsed(bool)", self.onLog)
        self._show()

    def setParameterNode(self, parameters: Parameters | None) -> None:
        """Watches the job of this scene again, or the one watched so far, or the newest that still runs."""
        self.parameters = parameters
        if parameters is None:
            self.charts.forget()
            self.preview.forget()
            return
        folder = self._to_watch()
        if folder is None:
            self._show()
        elif self.watched is None or self.watched.folder != folder:
            self.follow(folder)
        else:
            self._remember(folder)
            self._show()

    def follow(
        self, folder: JobFolder, *, started: bool = False, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        """Watches a job from its first event on; ``started``: somebody has started its ``process`` just now."""
        self.watched = JobWatch(folder)
        if started:
            self.watched.expect_start(process)
        self._classes, self._state, self._saw_it_work = [], "", False
        self.previewBox.watch_another()
        self.previewChoice.watch_another()
        with self.panel.changing():
            self._remember(folder)
            self.watched.poll(FIRST_POLL_SECONDS)
            self.trainings.look_again()
            self._show()

    def refresh(self) -> None:
        """What can be done with the watched job and with the one chosen in the list."""
        watch = self.watched
        state = watch.state if watch else ""
        self.ui.runFrame.visible = watch is not None
        stopping = watch is not None and watch.working and watch.folder.stop_file.exists()
        for button in (self.ui.stopKeepButton, self.ui.stopNowButton):
            button.visible = watch is not None and watch.working
        self.ui.stopKeepButton.enabled = not stopping
        self.ui.resumeButton.visible = state in RESUMABLE
        self.ui.resumeButton.toolTip = _("Goes on where it ended, with the time that it had left.")
        self.trainings.refresh()
        self.support.refresh()
        self.previewBox.show_box()
        self.previewChoice.show()

    def onTimer(self) -> None:
        watch = self.watched
        if watch is not None and (watch.poll() or not self.charts.complete):
            self._show()
        if self.previewBox.look():
            self.previewChoice.show()
        self.show_preview()
        self.trainings.onTimer()
        self.support.poll()
        self.chartTitles.look()

    def cleanup(self) -> None:
        """The job goes on; charts stay in the scene, for the next panel to take over."""
        self.preview.remove()
        self.watched = self.parameters = None

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.messageLabel, text, severity)

    @report_errors
    def onStopKeep(self) -> None:
        self._stop(STOP_KEEP_BEST, _("Stopping: the best model is measured on the held-out cases. One moment ..."))

    @report_errors
    def onStopNow(self) -> None:
        self._stop(STOP_NOW, _("Stopping at once ..."))

    @report_errors
    def onResume(self) -> None:
        if self.watched is not None:
            self.resume(self.watched.folder)

    def let_go(self, folder: JobFolder) -> None:
        """A job was removed: it is not shown any more."""
        if self.watched is not None and self.watched.folder == folder:
            self.watched = None
            self.preview.remove()
            if self.parameters is not None:
                self.parameters.trainingJob = ""
            self._show()

    @report_errors
    def onPreview(self, checked: bool) -> None:
        if self.parameters is not None:
            self.previewBox.choose(checked)

    @report_errors
    def onLayout(self, checked: bool) -> None:
        layouts = slicer.app.layoutManager()
        chart = self.charts.nodes.get("dice")
        if layouts is None or chart is None:
            return
        chart.SetLegendVisibility(checked)
        if checked:
            self._layout_before = int(layouts.layout)
            slicer.modules.plots.logic().ShowChartInLayout(chart)
        elif self._layout_before is not None:
            layouts.setLayout(self._layout_before)

    @report_errors
    def onLog(self, collapsed: bool) -> None:
        if not collapsed:
            self.log.show(self.watched)

    @report_errors
    def onApply(self, changes: dict[str, Any], apply: Callable[[dict[str, Any]], None]) -> None:
        apply(changes)
        self.tell(_("Applied: it counts for the next start."), "note")
        self._show_advice()

    def _stop(self, request: str, message: str) -> None:
        if self.watched is not None:
            self.watched.folder.request_stop(request)
            self.tell(message, "note")
            self.refresh()

    def resume(self, folder: JobFolder) -> None:
        """Goes on with a job that has ended; raises JobError while another one runs."""
        self.tell("")
        if self.panel.environment.problem:
            self.tell(self.panel.environment.problem)
            return
        if self.watched is not None and self.watched.working:
            raise JobError(_("{name} is running. Stop it first.").format(name=self.watched.name))
        process = self.panel.environment.start(folder)
        self.follow(folder, started=True, process=process)
        self.panel.refresh()

    def _to_watch(self) -> JobFolder | None:
        name = open_scene(self.parameters).trainingJob or (self.watched.name if self.watched is not None else "")
        folder = self.panel.jobs.folder(name) if name else None
        if folder is not None and folder.job_file.exists():
            return folder
        for candidate in self.panel.jobs.all()[:JOBS_LOOKED_AT]:
            status = candidate.status()
            if status.kind == "train" and status.is_alive():
                return candidate
        return None

    def _remember(self, folder: JobFolder) -> None:
        if self.parameters is not None and self.parameters.trainingJob != folder.path.name:
            self.parameters.trainingJob = folder.path.name

    def _show(self) -> None:
        """Everything that follows from the watched job; the work is bounded, however long the job is."""
        watch = self.watched
        if watch is None:
            for label in (self.ui.endingLabel, self.ui.warningLabel, self.ui.comparedLabel):
                show_message(label, "")
            self.refresh()
            return
        self.ui.nameLabel.text = watch.name
        set_bar(self.ui.progressBar, watch)
        self.ui.progressLabel.text = progress_text(watch)
        mean, dice = watch.best_dice()
        self.ui.bestLabel.visible = mean is not None
        self.ui.bestLabel.text = _("best Dice {dice}").format(dice=dice_text(mean, dice))
        model = start_model(watch.document)
        self.ui.startedLabel.visible = bool(model)
        self.ui.startedLabel.text = start_text(watch, model_name(Path(model)))
        self.ui.startedLabel.toolTip = model
        show_message(self.ui.comparedLabel, compared_text(watch.compared), "note")
        show_message(self.ui.endingLabel, *ending(watch))
        warnings = [str(event["message"]) for event in watch.warnings[-WARNINGS_SHOWN:]]
        show_message(self.ui.warningLabel, "\n".join(dict.fromkeys(warnings)), "warning")
        self._show_charts(watch)
        self._show_advice()
        if not self.ui.logButton.collapsed:
            self.log.show(watch)
        if watch.state != self._state:
            self._on_state(watch)
        self.refresh()

    def _on_state(self, watch: JobWatch) -> None:
        """Another section may show it, too."""
        ended = self._saw_it_work and not watch.working
        self._state = watch.state
        self._saw_it_work = self._saw_it_work or watch.working
        if ended:
            self.previewBox.ended()
            self.tell("")
            self.trainings.look_again()
            self._offer_model(watch)
        self.panel.refresh()

    def _offer_model(self, watch: JobWatch) -> None:
        """To section 3, where nothing is chosen, or the model that the training has gone on from."""
        if self.parameters is None or not watch.folder.model.exists():
            return
        if self.parameters.model in ("", start_model(watch.document)):
            self.parameters.model = str(watch.folder.path)

    def _show_charts(self, watch: JobWatch) -> None:
        has_points = bool(watch.epochs or watch.validations)
        self.ui.chartsFrame.visible = has_points
        if not has_points or self.parameters is None:
            return
        if not self._classes:
            self._classes = job_classes(watch.folder)
        self.charts.show(watch, self._classes)
        newest = watch.validations[-1] if watch.validations else {}
        self.chartTitles.show(self._classes, newest.get("mean_dice"), newest.get("dice", {}))
        for name, frame in self._frames.items():
            frame.show(self.charts.nodes[name])
        there = slicer.app.layoutManager() is not None
        self.ui.layoutButton.enabled = there
        if not there:
            self.ui.layoutButton.toolTip = _("Slicer runs without views.")

    def _show_advice(self) -> None:
        applied = read_changes(self.parameters.configuration) if self.parameters is not None else {}
        self.advice.show(self.watched.advice if self.watched is not None else {}, applied)

    @report_errors
    def show_preview(self) -> None:
        self.previewBox.show()
