"""The section Train: how long, from what, settings, Start; the job that was started is watched below."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.config.split_sizes import split_sizes
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerUI.jobs.event_text import plan_sentence, reasons_table
from MedSegTrainerUI.jobs.job_list import weight_count
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Duration, Parameters
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_labels import overlap_choice
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.shared.messages import report_errors, show_message
from MedSegTrainerUI.shared.tab_order import set_tab_order
from MedSegTrainerUI.train.continue_button import ContinueButton
from MedSegTrainerUI.train.job_view import JobSection
from MedSegTrainerUI.train.settings import (
    GROUPS,
    data_config,
    group_label,
    only_changes,
    read_changes,
    training_config,
)
from MedSegTrainerUI.train.settings_file import load_settings, save_settings
from MedSegTrainerUI.train.settings_form import SettingsForm
from MedSegTrainerUI.train.start_box import StartBox

NAMES_IN_A_JOB = 3


class TrainSection:
    def __init__(self, panel: PanelView) -> None:
        self.panel = panel
        self.parameters: Parameters | None = None
        self.uiWidget = slicer.util.loadUI(panel.resourcePath("UI/TrainSection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.ui.advancedButton.collapsed = True
        self.job = JobSection(panel, self.apply_changes)
        self.ui.jobFrame.layout().addWidget(self.job.uiWidget)
        self.form = SettingsForm(self.ui.settingsContents, self._on_changes, self._on_refused)
        self.start = StartBox(self)
        self.going_on = ContinueButton(self, self.start, self.job, self.begin)
        self._weights: tuple[str, int | None] = ("", None)
        self._explained: dict[str, Any] | None = None
        self._radios = {
            Duration.QUICK: self.ui.quickRadio,
            Duration.BALANCED: self.ui.balancedRadio,
            Duration.THOROUGH: self.ui.thoroughRadio,
            Duration.UNTIL_STOP: self.ui.untilStopRadio,
        }
        for duration, radio in self._radios.items():
            radio.connect("clicked()", lambda duration=duration: self.onDuration(duration))
        self.ui.groupCombo.addItem(_("All groups"))
        for group in GROUPS:
            self.ui.groupCombo.addItem(group_label(group))
        self.ui.whyButton.connect("toggled(bool)", self.onWhy)
        self.ui.advancedButton.connect("contentsCollapsed(bool)", self.onAdvanced)
        self.ui.findEdit.connect("textChanged(QString)", self.onFind)
        self.ui.groupCombo.connect("currentIndexChanged(int)", self.onFind)
        self.ui.loadButton.connect("clicked()", self.onLoad)
        self.ui.saveButton.connect("clicked()", self.onSave)
        self.ui.resetButton.connect("clicked()", self.onReset)
        self.ui.startButton.connect("clicked()", self.onStart)

    def setParameterNode(self, parameters: Parameters | None) -> None:
        self.parameters = parameters
        self.job.setParameterNode(parameters)
        self.refresh()

    def refresh(self) -> None:
        self.job.refresh()
        if self.parameters is None:
            return
        self._radios[self.parameters.duration].checked = True
        watch = self.job.watched
        is_working = watch is not None and watch.working
        self.going_on.refresh(
            _("A training is running. Stop it first, or wait until it is done.") if is_working else "",
            _("Exports the cases and trains beside Slicer; you can go on working, or close Slicer."),
        )
        changes = self.changes()
        self.ui.changedLabel.text = _("{count} changed").format(count=len(changes)) if changes else _("all as planned")
        for button in (self.ui.saveButton, self.ui.resetButton):
            button.enabled = bool(changes)
        reset, save = _("All settings back to their defaults."), _("Saves the changed settings as a file (JSON).")
        nothing = _("No setting was changed.")
        self.ui.resetButton.toolTip = reset if changes else nothing
        self.ui.saveButton.toolTip = save if changes else nothing
        if self.form.editors:
            self.form.show(changes)
        self.start.refresh()
        self._show_plan()

    @report_errors
    def onTimer(self) -> None:
        before = self._plan_state()
        self.job.onTimer()
        if self._plan_state() != before:
            self._show_plan()

    def cleanup(self) -> None:
        self.parameters = None
        self.job.cleanup()

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.messageLabel, text, severity)

    def changes(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        return read_changes(self.parameters.configuration) if self.parameters else {}

    def apply_changes(self, changes: dict[str, Any]) -> None:
        """Settings that a finding of the advisor suggests; they count for the next start.

        Where minutes say how long, more epochs mean more minutes.
        """
        before = self.changes()
        if "trainer.epochs" in changes and "trainer.epochs" not in before:
            parameters = open_scene(self.parameters)
            longer = list(Duration)[list(Duration).index(parameters.duration) :][1:2]
            parameters.duration = longer[0] if longer else parameters.duration
            changes = {key: value for key, value in changes.items() if key != "trainer.epochs"}
        self._on_changes(only_changes({**before, **changes}))

    @report_errors
    def onDuration(self, duration: Duration) -> None:
        if self.parameters is not None:
            self.parameters.duration = duration

    @report_errors
    def onWhy(self, checked: bool) -> None:
        self.ui.whyText.visible = checked
        self._explain()

    @report_errors
    def onAdvanced(self, collapsed: bool) -> None:
        if not collapsed and not self.form.editors:
            self.form.show(self.changes())
            set_tab_order(self.uiWidget)
            self.onFind()

    @report_errors
    def onFind(self) -> None:
        if not self.form.editors:
            return
        group = self.ui.groupCombo.currentIndex
        count = self.form.find(self.ui.findEdit.text, GROUPS[group - 1] if group > 0 else "")
        self._on_refused("" if count else _("No setting has these words. Try another, such as rate, size or weight."))

    @report_errors
    def onLoad(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.uiWidget, _("Load a configuration"), "", _("Configuration (*.json)"))
        if path:
            self.load(Path(path))

    @report_errors
    def onSave(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            self.uiWidget, _("Save the configuration"), "configuration.json", _("Configuration (*.json)")
        )
        if path:
            self.save(Path(path))

    def load(self, path: Path) -> None:
        """Takes the settings of a file in place of those that were changed so far; a wrong file changes nothing."""
        try:
            changes, start = load_settings(path)
        except UsageError as error:
            self._on_refused(str(error))
            return
        self._on_changes(changes)
        self.start.take_settings(start)
        self._on_refused("")

    def save(self, path: Path) -> None:
        values = {**self.changes(), **self.start.settings()}
        save_settings(path if path.suffix else path.with_suffix(".json"), values)

    @report_errors
    def onReset(self) -> None:
        self._on_changes({})

    @report_errors
    def onStart(self) -> None:
        """From what was chosen; where that is a model of these rows, it goes on from the newest of its line."""
        if open_scene(self.parameters).startModel and self.going_on.path():
            self.going_on.onContinue()
        else:
            self.begin()

    @report_errors
    def begin(self) -> None:
        self.tell("")
        problem = self._problem()
        if problem:
            self.tell(problem)
            return
        with slicer.util.WaitCursor():  # handles events: a second click is done before the first
            if self.job.watched is None or not self.job.watched.working:
                self._start()

    def _start(self) -> None:
        rows, classes = self.panel.rows(), self.panel.classes()
        folder = self.panel.jobs.new("-".join(item.name for item in classes[:NAMES_IN_A_JOB]))
        minutes, device = open_scene(self.parameters).duration.value, self.panel.environment.device
        settings = {"data.cache_dir": str(self.panel.jobs.cache), **self.changes()}
        config = training_config(settings, minutes, folder.path / "data", device, self.start.settings())
        try:
            self._is_exporting(_("the cases"))
            folder.create(config)
            self._export(rows, classes, folder.path / "data")
            process = self.panel.environment.start(folder)
        except BaseException:
            shutil.rmtree(folder.path, ignore_errors=True)
            self.tell("")
            raise
        self.tell("")
        self.job.follow(folder, started=True, process=process)
        self.panel.refresh()

    def _export(self, rows: list[CaseRow], classes: list[SegmentClass], folder: Path) -> None:
        from MedSegTrainerUI.scene.export_cases import export_cases

        overlap = overlap_choice(open_scene(self.parameters).overlap)
        export_cases(rows, classes, folder, overlap=overlap, on_case=self._is_exporting)

    def _problem(self) -> str:
        """Why a training cannot be started, and what to do; '' when nothing is in the way."""
        if self.parameters is None:
            return _("The scene is being closed. Open this module again when it is done.")
        environment = self.panel.environment
        return str(self.panel.data.problem() or environment.problem or self.start.problem())

    def _is_exporting(self, name: str) -> None:
        """Painted at once: the export holds the application, and events must not be handled meanwhile."""
        self.tell(_("Exporting {name} ...").format(name=name), "note")
        self.ui.messageLabel.repaint()

    def _on_changes(self, changes: dict[str, Any]) -> None:
        if self.parameters is not None:
            self.parameters.configuration = json.dumps(changes)

    def _on_refused(self, text: str) -> None:
        show_message(self.ui.settingsMessageLabel, text, "warning")

    def _plan_state(self) -> tuple[object, ...]:
        watch = self.job.watched
        if watch is None:
            return ()
        return watch.name, watch.working, len(watch.plan), watch.best is not None

    def _show_plan(self) -> None:
        watch = self.job.watched if self.job.watched is not None and self.job.watched.plan else None
        if watch is not None and watch.working:
            if self._weights[0] != watch.name or self._weights[1] is None:
                self._weights = watch.name, weight_count(watch.folder)
            self.ui.planLabel.text = plan_sentence(watch.plan, self._weights[1])
        else:
            self.ui.planLabel.text = self._intention()
        self.ui.whyButton.enabled = watch is not None
        self.ui.whyButton.toolTip = (
            _("All choices of {name}, with their reasons.").format(name=watch.name)
            if watch is not None
            else _("When a training has started, this shows what was chosen and why.")
        )
        self._explain()

    def _explain(self) -> None:
        watch = self.job.watched
        choices = watch.plan if watch is not None else {}
        if self.ui.whyText.visible and choices and choices != self._explained:
            self._explained = dict(choices)
            self.ui.whyText.setHtml(reasons_table(choices))

    def _intention(self) -> str:
        """What a start would do, as far as it is known before."""
        changes = self.changes()
        count = len(self.panel.rows())
        if not count:
            return _("Add training data above: volumes with their segmentations.")
        network = changes.get("network.type")
        chosen = _("the network is chosen for them when training starts")
        if network:
            chosen = _("the network is {name}, as set under Advanced").format(name=network)
        elif self.parameters is not None and self.parameters.startModel:
            chosen = _("the network is that of the model")
        cases = split_text(count, changes)
        if self.parameters is not None and self.parameters.startModel and self.going_on.path():
            cases = _("{count} cases, and those that were held out stay so").format(count=count)
        text = _("{cases}; {chosen}.").format(cases=cases, chosen=chosen)
        if "trainer.epochs" in changes:
            epochs = changes["trainer.epochs"]
            text += _(" It takes {epochs} epochs, as set under Advanced, however long that is.").format(epochs=epochs)
        return text


def split_text(count: int, changes: dict[str, Any]) -> str:
    """How many of the cases will be held out."""
    if count == 1:
        return _("1 case: it trains and is looked at, so nobody knows how good the model is for others")
    if {"data.split_file", "data.fold"} & changes.keys():
        return _("{count} cases, divided as set under Advanced").format(count=count)
    try:
        sizes = split_sizes(count, data_config(changes))
    except UsageError as error:
        return str(error).rstrip(".")
    held = sizes.val + sizes.test
    if not held:
        return _("{count} cases, none is held out").format(count=count)
    if held == 1:
        return _("{count} cases, one is held out to measure the Dice").format(count=count)
    return _("{count} cases, {held} are held out to measure the Dice").format(count=count, held=held)
