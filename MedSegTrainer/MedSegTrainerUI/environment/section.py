"""The section Environment: where PyTorch lives, whether it was tested, and the button that sets it up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.environment.build_messages import expected_size, gigabytes, has_nvidia
from MedSegTrainerUI.environment.cache_row import CacheRow
from MedSegTrainerUI.environment.environment import Environment
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.shared.messages import report_errors, show_message

IDLE_TICKS = 10  # of the timer: how often files are looked at while nothing goes on
LOG_BYTES = 8000


class EnvironmentPanel(PanelView, Protocol):
    """The panel, for the section that may change the environment."""

    @property
    def environment(self) -> Environment: ...


class EnvironmentSection:
    def __init__(self, panel: EnvironmentPanel) -> None:
        self.panel = panel
        self.environment = panel.environment
        self.uiWidget = slicer.util.loadUI(panel.resourcePath("UI/EnvironmentSection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self._message = ("", "error")
        self._ticks = 0
        self._log_size = -1
        self._filling = False
        self._shown_python = self._shown_wheels = ""
        self.cache = CacheRow(self, panel.jobs.cache)
        self.ui.logButton.collapsed = True
        self.ui.logButton.visible = False  # until there is something to read
        for button, slot in (
            (self.ui.setUpButton, self.onSetUp),
            (self.ui.testButton, self.onTest),
            (self.ui.repairButton, self.onRepair),
            (self.ui.removeButton, self.onRemove),
            (self.ui.stopButton, self.onStop),
        ):
            button.connect("clicked(bool)", slot)
        self.ui.deviceComboBox.connect("currentIndexChanged(int)", self.onDevice)
        self.ui.pythonPathLineEdit.connect("currentPathChanged(QString)", self.onPython)
        self.ui.pythonPathLineEdit.connect("validInputChanged(bool)", self.onPythonValid)
        self.ui.wheelsPathLineEdit.connect("currentPathChanged(QString)", self.onWheels)
        self.ui.wheelsPathLineEdit.connect("validInputChanged(bool)", self.onWheelsValid)
        self.refresh()

    def setParameterNode(self, parameters: Parameters | None) -> None:
        """The environment is the computer's, not the scene's."""

    def cleanup(self) -> None:
        """A set-up that runs goes on; the next panel shows it."""
        self.cache.cleanup()

    def tell(self, text: str, severity: str = "error") -> None:
        self._message = (text, severity)
        self._show_message()

    @report_errors
    def onTimer(self) -> None:
        self._ticks += 1
        if not self.environment.busy and self._ticks % IDLE_TICKS:
            return
        self.cache.look()
        changed = self.environment.poll()
        if self.environment.busy:
            self._show_progress()
        if changed:
            self.panel.refresh()
        self._show_log()

    def refresh(self) -> None:
        environment = self.environment
        quiet = environment.state in ("ready", "new")
        self.ui.stateLabel.text = environment.describe() if quiet else ""
        self.ui.stateLabel.visible = quiet
        self.ui.runFrame.visible = environment.busy
        self._show_message()
        self._show_buttons()
        self._show_choices()
        self.cache.show()
        if environment.busy:
            self._show_progress()
        self._show_log()

    @report_errors
    def onSetUp(self, checked: bool) -> None:
        self._begin(self.environment.set_up)

    @report_errors
    def onRepair(self, checked: bool) -> None:
        self._refuse_while_jobs_run()
        self._begin(lambda: self.environment.set_up(anew=True))

    @report_errors
    def onTest(self, checked: bool) -> None:
        self._begin(self.environment.test)

    @report_errors
    def onStop(self, checked: bool) -> None:
        self.environment.stop()
        self.ui.stopButton.enabled = False
        self.ui.stopButton.toolTip = _("Stopping: the download that is under way is closed first.")

    @report_errors
    def onRemove(self, checked: bool) -> None:
        self._refuse_while_jobs_run()
        question = _(
            "PyTorch and all packages in {folder} will be deleted. Models and jobs stay. To train again, they must be "
            "downloaded again ({size})."
        ).format(folder=self.environment.folder, size=gigabytes(expected_size(has_nvidia()).download))
        if slicer.util.confirmOkCancelDisplay(question, _("Remove the environment")):
            self._begin(self.environment.remove)

    @report_errors
    def onDevice(self, index: int) -> None:
        name = self.ui.deviceComboBox.itemData(index) if index >= 0 else None
        if self._filling or not name or name == self.environment.asked_device:
            return
        self.environment.set_device(str(name))
        if self.environment.interpreter.exists() and not self.environment.ready:
            self.environment.test()
        self.panel.refresh()

    @report_errors
    def onPython(self, path: str) -> None:
        path = path.strip()
        if self._filling or path == self.environment.chosen or (path and not Path(path).is_file()):
            return  # not typed to its end
        self._begin(lambda: self.environment.choose(path))

    @report_errors
    def onPythonValid(self, valid: bool) -> None:
        """Of a path that was emptied, this is all that CTK tells."""
        if not valid and not self.ui.pythonPathLineEdit.currentPath:
            self.onPython("")

    @report_errors
    def onWheels(self, path: str) -> None:
        path = path.strip()
        if self._filling or path == self.environment.wheels or (path and not Path(path).is_dir()):
            return  # not typed to its end
        self._begin(lambda: self.environment.choose_wheels(path))

    @report_errors
    def onWheelsValid(self, valid: bool) -> None:
        if not valid and not self.ui.wheelsPathLineEdit.currentPath:
            self.onWheels("")

    def _begin(self, action: Callable[[], object]) -> None:
        self._message = ("", "error")
        try:
            action()
        finally:
            self.panel.refresh()

    def _refuse_while_jobs_run(self) -> None:
        """Raises JobError where a job works with the files that are to be taken away."""
        from MedSegTrainerLib.errors import JobError

        running = [job.path.name for job in self.panel.jobs.all() if job.status().is_alive()] if self.panel.jobs else []
        if running:
            raise JobError(
                _("{names} is still running and needs these files. Stop it first, or wait for its end.").format(
                    names=", ".join(running)
                )
            )

    def _show_message(self) -> None:
        environment = self.environment
        text, severity = self._message
        if not text and environment.ready:
            text, severity = "\n".join(environment.warnings), "warning"
        elif not text and environment.state in ("failed", "stopped", "changed"):
            text, severity = environment.problem, "error" if environment.state == "failed" else "warning"
        show_message(self.ui.messageLabel, text, severity)

    def _show_buttons(self) -> None:
        """Before the first set-up there is one button; afterwards Repair takes its place."""
        environment, ui = self.environment, self.ui
        busy = _("PyTorch is being set up or tested. Wait for the end, or press Stop.") if environment.busy else ""
        exists = environment.folder.exists() and (environment.own_python.exists() or environment.state != "new")
        size = gigabytes(expected_size(has_nvidia()).download)
        source = (
            _("from the folder of wheels, without Internet") if environment.wheels else _("about {size} to download")
        )
        source = source.format(size=size)
        ui.setUpButton.visible = bool(environment.chosen) or not exists
        ui.repairButton.visible = ui.removeButton.visible = exists and not environment.chosen
        ui.testButton.visible = environment.state != "new"
        missing = "" if environment.interpreter.exists() else _("There is no Python to test yet.")
        for button, why, what in (
            (
                ui.setUpButton,
                busy,
                _("Makes a Python of its own with PyTorch ({source}) and tests it."),
            ),
            (ui.repairButton, busy, _("Makes everything anew ({source}) and tests it.")),
            (ui.testButton, busy or missing, _("Runs one step of a training on the chosen device.")),
            (ui.removeButton, busy, _("Deletes PyTorch and all packages that were loaded; asks first.")),
        ):
            button.enabled = not why
            button.toolTip = why or what.format(source=source)

    def _show_choices(self) -> None:
        environment, ui = self.environment, self.ui
        self._filling = True
        names = [("auto", _("the fastest there is")), *((d["name"], d["description"]) for d in environment.devices())]
        asked = environment.asked_device
        if asked not in dict(names):
            names.append((asked, _("not found by the test")))
        texts = [f"{name}: {description}" for name, description in names]
        combo = ui.deviceComboBox
        if [combo.itemText(index) for index in range(combo.count)] != texts:
            combo.clear()
            for (name, _description), text in zip(names, texts, strict=True):
                combo.addItem(text, name)
        combo.setCurrentIndex([name for name, _description in names].index(asked))
        if environment.chosen != self._shown_python:  # what is being typed is left alone
            self._shown_python = environment.chosen
            ui.pythonPathLineEdit.setCurrentPath(self._shown_python)
        if environment.wheels != self._shown_wheels:
            self._shown_wheels = environment.wheels
            ui.wheelsPathLineEdit.setCurrentPath(self._shown_wheels)
        self._filling = False
        ui.deviceTitle.visible = combo.visible = environment.state != "new"  # the test finds what there is
        busy = _("PyTorch is being set up or tested. Wait for the end, or press Stop.") if environment.busy else ""
        combo.enabled = ui.pythonPathLineEdit.enabled = ui.wheelsPathLineEdit.enabled = not busy
        choice = _("What trainings run on. Another choice is tested at once.")
        combo.toolTip = busy or f"{combo.currentText}. {choice}"  # names of GPUs are long
        ui.pythonPathLineEdit.toolTip = busy or _(
            "An interpreter (python.exe, or bin/python) that has PyTorch, MONAI and the other packages of "
            "requirements.txt; used instead of the environment made here. Leave it empty otherwise."
        )
        ui.wheelsPathLineEdit.toolTip = busy or _(
            "For computers without Internet: a folder with all packages as wheels (.whl), filled on another computer "
            "as the manual says under 'A computer without Internet'. Set up and Repair then take them from there and "
            "load nothing. Their hashes are checked, but not that of PyTorch, whose builds differ. Leave it empty "
            "otherwise."
        )

    def _show_progress(self) -> None:
        status = self.environment.status
        self.ui.progressBar.value = int(1000 * status.progress)
        self.ui.progressLabel.text = status.message
        if not self.environment.stopping:
            self.ui.stopButton.enabled = True
            self.ui.stopButton.toolTip = _("Ends this. What was downloaded already is kept for the next time.")

    def _show_log(self) -> None:
        """The end of the log, where it grew."""
        path = self.environment.job.log_file
        try:
            size = path.stat().st_size
            if size == self._log_size:
                return
            with path.open("rb") as stream:
                stream.seek(max(0, size - LOG_BYTES))
                text = stream.read().decode(errors="replace")
        except OSError:
            size, text = -1, ""
        if size == self._log_size == -1:
            return
        self._log_size = size
        self.ui.logButton.visible = size > 0
        self.ui.logText.setPlainText(text)
        bar = self.ui.logText.verticalScrollBar()
        bar.value = bar.maximum
