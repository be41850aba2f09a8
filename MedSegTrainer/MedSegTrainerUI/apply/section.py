"""Section 3: a trained model on volumes of the scene."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerUI.apply.add_result import AddResult
from MedSegTrainerUI.apply.applied_results import AppliedResults
from MedSegTrainerUI.apply.many_volumes import ManyVolumes
from MedSegTrainerUI.apply.result_view import ResultView
from MedSegTrainerUI.apply.run import ApplyRun, ApplyTask, find_runs, progress_text, start_run
from MedSegTrainerUI.apply.save_as_dicom import SaveAsDicom
from MedSegTrainerUI.apply.volume_chooser import VolumeChooser
from MedSegTrainerUI.apply.waiting_results import WaitingResults
from MedSegTrainerUI.models.model_card import ModelCard, card_html, card_tooltip, read_card
from MedSegTrainerUI.models.model_chooser import ModelChooser, why_no_model
from MedSegTrainerUI.models.model_list import remember_model
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.segment_classes import same_name
from MedSegTrainerUI.shared.messages import report_errors, show_message
from MedSegTrainerUI.shared.node_choice import keep_readable, let_go
from MedSegTrainerUI.shared.segment_editor import open_segment_editor
from MedSegTrainerUI.slicer_types import Node


class ApplySection:
    """One model is applied at a time; its results are imported as they are finished."""

    def __init__(self, panel: PanelView) -> None:
        self.panel = panel
        self.uiWidget = slicer.util.loadUI(panel.resourcePath("UI/ApplySection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.confirm = slicer.util.confirmOkCancelDisplay  # asks before something is lost
        self.parameters: Parameters | None = None
        self.card: ModelCard | None = None
        self.run: ApplyRun | None = None
        self.waiting = WaitingResults(self)
        self.shown = ResultView(self, open_segment_editor)
        self.adding = AddResult(self)
        self.dicom = SaveAsDicom(self)
        self.models = ModelChooser(self, self.ui.modelSelector, self.ui.modelButton, panel.jobs.all)
        self._restoring = False
        self._results = AppliedResults()
        self.volumes = VolumeChooser(self.ui, self.onVolumes)
        self._connect()
        self._adopt()
        self.many = ManyVolumes(self)

    def _connect(self) -> None:
        ui = self.ui
        let_go(ui.outputSelector)
        keep_readable(ui.outputSelector)
        ui.outputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onOutput)
        for name, widget, signal in (
            ("tta", ui.ttaCheckBox, "toggled(bool)"),
            ("fillHoles", ui.holesCheckBox, "toggled(bool)"),
            ("largestComponent", ui.largestCheckBox, "toggled(bool)"),
            ("minimumSize", ui.minimumSpinBox, "valueChanged(double)"),
            ("uncertainty", ui.uncertaintyCheckBox, "toggled(bool)"),
        ):
            widget.connect(signal, functools.partial(self.onOption, name))
        ui.applyButton.connect("clicked(bool)", self.onApply)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.tell("")

    def _adopt(self) -> None:
        """Goes on with what was running when Slicer was closed, and offers results that are not in a scene."""
        for run in find_runs(self.panel.jobs):
            if run.watch.working and self.run is None:
                self.run = run
            else:
                self.waiting.runs.append(run)

    def setParameterNode(self, parameters: Parameters | None) -> None:
        self.parameters = parameters
        self.many.setParameterNode(parameters)
        if parameters is None:
            self.shown.clear()
            self.dicom.cleanup()
            for run in (self.run, *self.waiting.runs):
                if run is not None:
                    run.same_scene = False
            return
        self._restoring = True
        self.models.look_again()
        try:
            self._show_model()
            self.volumes.restore(parameters.parameterNode)
            self.ui.outputSelector.setCurrentNode(parameters.outputSegmentation)
        finally:
            self._restoring = False
        self.shown.restore()

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.messageLabel, text, severity)

    def cleanup(self) -> None:
        self.run = self.parameters = None
        self.many.cleanup()
        self.adding.cleanup()
        self.dicom.cleanup()

    # -- showing

    def refresh(self) -> None:
        self._show_model()
        self._show_options()
        self._show_run()
        self.waiting.refresh()
        self.many.refresh()
        self.shown.refresh()
        self.adding.refresh()
        self.dicom.refresh()

    def _show_model(self) -> None:
        """The list of models, the chosen one and its card."""
        path, label = self.parameters.model if self.parameters is not None else "", self.ui.cardLabel
        self.card = self.models.show(path)
        if self.card is not None:
            label.setTextFormat(qt.Qt.RichText)
            label.styleSheet = ""
            label.text, label.toolTip, label.visible = card_html(self.card), card_tooltip(self.card), True
            self.volumes.set_channels(self.card.channels)
            return
        label.toolTip = ""
        if path:
            show_message(label, why_no_model(path))
            return
        nothing = _("There is no model yet: train one in section 2, or choose one with the button [...].")
        show_message(label, "" if self.models.entries else nothing, "note")

    def _show_options(self) -> None:
        ui, parameters = self.ui, self.parameters
        if parameters is not None:
            self._restoring = True  # the spin box rounds
            ui.ttaCheckBox.checked, ui.holesCheckBox.checked = parameters.tta, parameters.fillHoles
            ui.largestCheckBox.checked, ui.minimumSpinBox.value = parameters.largestComponent, parameters.minimumSize
            ui.uncertaintyCheckBox.checked = parameters.uncertainty
            self._restoring = False
        mirrors = self.card is None or self.card.mirrors
        ui.ttaCheckBox.enabled = mirrors
        ui.ttaCheckBox.toolTip = (
            _("Each volume is also segmented as mirror images, and the mean counts: a little better, much slower.")
            if mirrors
            else _("Not for this model: it was trained without mirror images.")
        )
        several = len(self.volumes.cases()) > 1
        ui.outputSelector.enabled = not several
        ui.outputSelector.toolTip = (
            _("Each of several volumes gets a segmentation of its own.")
            if several
            else _("Where the segments go. In an existing segmentation, segments of the same names are replaced.")
        )

    def _show_run(self) -> None:
        ui, run = self.ui, self.run
        reason = self._why_not()
        ui.applyButton.enabled = not reason
        ui.applyButton.toolTip = reason or _("Segments the volumes in another process; go on working meanwhile.")
        ui.reasonLabel.text, ui.reasonLabel.visible = reason, bool(reason) and run is None
        ui.progressBar.visible = ui.cancelButton.visible = run is not None
        if run is not None:
            ui.cancelButton.enabled = not run.cancelled
            ui.cancelButton.toolTip = (
                _("It is being stopped.") if run.cancelled else _("Stops; finished volumes are kept.")
            )
            ui.progressBar.value = round(1000 * run.watch.progress)
            ui.progressBar.setFormat(progress_text(run.watch, run.cancelled))

    def _why_not(self) -> str:
        """Why nothing can be applied now; '' when it can."""
        if self.parameters is None:
            return _("The scene is being closed.")
        if self.run is not None:
            return _("{model} is being applied to {names}.").format(
                model=self.run.title, names=", ".join(self.run.volume_names)
            )
        if self.many.run is not None and self.many.working:
            return _("{model} is being applied to many images.").format(model=self.many.run.title)
        if not self.panel.environment.ready:
            return self.panel.environment.problem
        if self.card is None:
            return _("Choose a model.")
        return self.volumes.problem()

    # -- what the user does

    def take_model(self, path: str) -> None:
        """The user has chosen it."""
        if self.parameters is not None:
            with self.panel.changing():
                self.parameters.model = path

    @report_errors
    def onVolumes(self) -> None:
        if self.parameters is not None and not self._restoring:
            with self.panel.changing():
                self.volumes.remember(self.parameters.parameterNode)

    @report_errors
    def onOutput(self, node: Node) -> None:
        if self.parameters is not None and not self._restoring and self.parameters.outputSegmentation is not node:
            self.parameters.outputSegmentation = node

    def onOption(self, name: str, value: object) -> None:
        if self.parameters is not None and not self._restoring and getattr(self.parameters, name) != value:
            setattr(self.parameters, name, value)

    @report_errors
    def onApply(self) -> None:
        self.tell("")
        reason = self._why_not()
        if reason:
            raise MedSegError(reason)
        task = self._task()
        if task.output is not None and not self._may_overwrite(task):
            return
        self._results = AppliedResults()
        self.shown.clear()
        with slicer.util.WaitCursor():  # handles events: a second click is done before the first
            self.run = self.run or start_run(self.panel, task)
        remember_model(str(task.card.path))
        self.panel.refresh()

    def _task(self) -> ApplyTask:
        parameters, cases = open_scene(self.parameters), tuple(self.volumes.cases())
        card = read_card(Path(parameters.model))  # again: it may have been removed, or trained further
        return ApplyTask(
            card=card,
            cases=cases,
            output=parameters.outputSegmentation if len(cases) == 1 else None,
            options=self.options(card),
        )

    def options(self, card: ModelCard) -> dict[str, Any]:
        """Settings of a job that applies this model."""
        parameters = open_scene(self.parameters)
        return {
            "tta": parameters.tta and card.mirrors,
            "largest_component": parameters.largestComponent,
            "fill_holes": parameters.fillHoles,
            "minimum_size_mm3": parameters.minimumSize,
            "uncertainty": parameters.uncertainty,
        }

    def _may_overwrite(self, task: ApplyTask) -> bool:
        """Asks first: it may be the segmentation of another volume."""
        content, volume = task.output.GetSegmentation(), task.cases[0][0]
        made_on = task.output.GetNodeReference(task.output.GetReferenceImageGeometryReferenceRole())
        questions = []
        if made_on is not None and made_on is not volume:
            questions.append(
                _("{segmentation} was made on {other}, and gets the segments of {volume}.").format(
                    segmentation=task.output.GetName(), other=made_on.GetName(), volume=volume.GetName()
                )
            )
        existing = {content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())}
        names = {same_name(item.name) for item in task.card.classes}
        replaced = sorted(name for name in existing if same_name(name) in names)
        if replaced:
            questions.append(
                _("{segmentation} already has these segments, which will be replaced: {names}.").format(
                    segmentation=task.output.GetName(), names=", ".join(replaced)
                )
            )
        return not questions or self.confirm("\n".join(questions), windowTitle=_("Change this segmentation?"))

    @report_errors
    def onCancel(self) -> None:
        if self.run is not None:
            self.run.cancel()
            self.refresh()

    # -- following the job

    @report_errors
    def onTimer(self) -> None:
        self.many.onTimer()
        self.shown.onTimer()
        self.dicom.onTimer()
        run = self.run
        if run is None:
            return
        run.poll()
        if run.follow_likely():
            self.shown.refresh()
        ready = [case for case in run.waiting() if case not in run.failed] if self.parameters is not None else []
        if ready:
            self._import(run, ready[0])  # one at a time: large ones take a second
        elif not run.working:
            self._finish(run)
            return
        self._show_run()

    def _import(self, run: ApplyRun, case: str) -> None:
        node = run.import_result(case)
        self._results.show(run, node, self.panel.entered)
        self.shown.add(node)
        self.panel.refresh()

    def _finish(self, run: ApplyRun) -> None:
        self.run = None
        run.follow_likely()
        text, severity = run.end_text()
        if run.failed:
            text, severity = " ".join(dict.fromkeys(run.failed.values())), "error"
        elif run.waiting():
            text = _("The scene was closed meanwhile. The results are kept: load the volumes, then import them.")
            severity = "warning"
        self.waiting.keep_or_forget(run)
        self.tell(text + self._results.text(), severity)
        self.panel.refresh()
