"""Section 4: how well a segmentation agrees with a reference."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerUI.evaluate.run import EvaluateRun, add_table, fill_table, read_table
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.segment_classes import same_name
from MedSegTrainerUI.shared import tables as shared_tables
from MedSegTrainerUI.shared.messages import report_errors, show_message
from MedSegTrainerUI.shared.node_choice import keep_readable, let_go
from MedSegTrainerUI.shared.tables import Cell
from MedSegTrainerUI.slicer_types import Node, SegmentationNode

TABLE_ROLE = "evaluateTable"
JOB_PARAMETER = "evaluateJob"
DECIMALS = (3, 2, 2, 2)  # of the columns of numbers
SELECTORS = {
    "evaluatePrediction": "predictionSelector",
    "evaluateReference": "referenceSelector",
    "evaluateVolume": "volumeSelector",
}


class EvaluateSection:
    """The numbers stay in the scene as a table node, and are shown again when the scene is loaded."""

    def __init__(self, panel: PanelView) -> None:
        self.panel = panel
        self.uiWidget = slicer.util.loadUI(panel.resourcePath("UI/EvaluateSection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.parameters: Parameters | None = None
        self.run: EvaluateRun | None = None
        self._restoring = False
        self._displayed = ""
        shared_tables.prepare(self.ui.resultsTable, [0])
        for parameter, name in SELECTORS.items():
            selector = getattr(self.ui, name)
            let_go(selector)
            keep_readable(selector)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", functools.partial(self.onNode, parameter))
        self.ui.evaluateButton.connect("clicked(bool)", self.onEvaluate)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.ui.reportButton.connect("clicked(bool)", self.onReport)
        self.tell("")

    def setParameterNode(self, parameters: Parameters | None) -> None:
        self.parameters = parameters
        if parameters is None:
            return
        self._restoring = True
        for parameter, selector in SELECTORS.items():
            getattr(self.ui, selector).setCurrentNode(getattr(parameters, parameter))
        self._restoring = False

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.messageLabel, text, severity)

    def cleanup(self) -> None:
        self.run = self.parameters = None

    # -- showing

    def refresh(self) -> None:
        ui, run = self.ui, self.run
        reason = self._why_not()
        ui.evaluateButton.enabled = not reason
        ui.evaluateButton.toolTip = reason or _("Compares segments of the same name: Dice, distances, volumes.")
        ui.reasonLabel.text, ui.reasonLabel.visible = reason, bool(reason) and run is None
        ui.progressBar.visible = ui.cancelButton.visible = run is not None
        ui.cancelButton.toolTip = _("Stops, without a result.")
        if run is not None:
            ui.progressBar.value = round(1000 * run.watch.progress)
            ui.progressBar.setFormat(_("comparing"))
        page = self._report_page()
        ui.reportButton.visible = run is None and self._table() is not None
        ui.reportButton.enabled = page is not None
        ui.reportButton.toolTip = (
            _("Opens the report with pictures in the browser.") if page else _("The report was removed with its job.")
        )
        self._show_table()

    def _why_not(self) -> str:
        parameters = self.parameters
        if parameters is None:
            return _("The scene is being closed.")
        if self.run is not None:
            return _("An evaluation is running.")
        if not self.panel.environment.ready:
            return self.panel.environment.problem
        if parameters.evaluatePrediction is None or parameters.evaluateReference is None:
            return _("Choose a prediction and a reference, such as the segmentation that you made by hand.")
        if parameters.evaluatePrediction is parameters.evaluateReference:
            return _("Choose two different segmentations.")
        if parameters.evaluateVolume is None:
            return _("Choose the volume that was segmented.")
        return ""

    def _show_table(self) -> None:
        table = self._table()
        rows = read_table(table) if table is not None else []
        content = repr((rows, table.GetDescription())) if rows else ""
        self.ui.resultsTable.visible = self.ui.comparedLabel.visible = bool(rows)
        if content == self._displayed:
            return
        self._displayed = content
        if rows and self.parameters is not None:
            colors = _colors(self.parameters.evaluateReference, self.parameters.evaluatePrediction)
            cells = [_cells(name, numbers, colors.get(same_name(name))) for name, numbers in rows]
            shared_tables.fill(self.ui.resultsTable, cells, 1)
            self.ui.comparedLabel.setTextFormat(qt.Qt.PlainText)
            self.ui.comparedLabel.text = table.GetDescription()

    def _table(self) -> Node:
        return self.parameters.parameterNode.GetNodeReference(TABLE_ROLE) if self.parameters is not None else None

    def _report_page(self) -> Path | None:
        name = self.parameters.parameterNode.GetParameter(JOB_PARAMETER) if self.parameters is not None else ""
        page = self.panel.jobs.folder(name).report / "report.html" if name else None
        return page if page is not None and page.is_file() else None

    # -- what the user does

    @report_errors
    def _choose(self, parameter: str, node: Node) -> None:
        if self.parameters is None or self._restoring or getattr(self.parameters, parameter) is node:
            return
        with self.panel.changing():
            setattr(self.parameters, parameter, node)
            if parameter != "evaluateVolume" and node is not None and self.parameters.evaluateVolume is None:
                role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
                volume = node.GetNodeReference(role)
                if volume is not None:
                    self.ui.volumeSelector.setCurrentNode(volume)

    def onNode(self, parameter: str, node: Node) -> None:
        self._choose(parameter, node)

    @report_errors
    def onEvaluate(self) -> None:
        self.tell("")
        reason = self._why_not()
        if reason:
            raise MedSegError(reason)
        parameters = open_scene(self.parameters)
        with slicer.util.WaitCursor():  # handles events: a second click is done before the first
            self.run = self.run or EvaluateRun(
                self.panel, parameters.evaluatePrediction, parameters.evaluateReference, parameters.evaluateVolume
            )
        self.panel.refresh()

    @report_errors
    def onCancel(self) -> None:
        if self.run is not None:
            self.run.cancel()
            self.tell(_("The evaluation was cancelled."), "note")

    @report_errors
    def onReport(self) -> None:
        page = self._report_page()
        if page is None or not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page))):
            raise MedSegError(
                _("The report could not be opened: {path}. Open it with a browser.").format(path=page or "-")
            )

    # -- following the job

    @report_errors
    def onTimer(self) -> None:
        run = self.run
        if run is None:
            return
        run.poll()
        if run.working:
            self.ui.progressBar.value = round(1000 * run.watch.progress)
            return
        self.run = None
        try:
            if run.cancelled:
                run.forget()
            else:
                self._keep(run)
        finally:
            self.panel.refresh()

    def _keep(self, run: EvaluateRun) -> None:
        values = run.values()
        if self.parameters is None:
            return
        node = self.parameters.parameterNode
        table = self._table()
        if table is None:
            name = _("{prediction} evaluation").format(prediction=run.prediction)
            table = add_table(name, self.parameters.evaluatePrediction)
        fill_table(table, values, run.described())
        node.SetNodeReferenceID(TABLE_ROLE, table.GetID())
        node.SetParameter(JOB_PARAMETER, run.folder.path.name)
        warned = " ".join(str(event["message"]) for event in run.watch.warnings)
        if warned:
            self.tell(warned, "warning")


def _cells(name: str, numbers: list[float], color: tuple[int, int, int] | None) -> list[Cell]:
    cells = [Cell(text=name, tip=name, swatch=color)]
    for value, decimals in zip(numbers, DECIMALS, strict=True):
        if math.isfinite(value):
            cells.append(Cell(text=f"{value:.{decimals}f}", right=True))
        else:
            cells.append(Cell(text="-", tip=_("Not defined: the segment is empty on one side."), right=True))
    return cells


def _colors(*segmentations: SegmentationNode) -> dict[str, tuple[int, int, int]]:
    """The colours of segments by name; those of the first segmentation that has the name."""
    colors: dict[str, tuple[int, int, int]] = {}
    for node in segmentations:
        if node is None:
            continue
        content = node.GetSegmentation()
        for index in range(content.GetNumberOfSegments()):
            segment = content.GetNthSegment(index)
            red, green, blue = (round(255 * part) for part in segment.GetColor())
            colors.setdefault(same_name(segment.GetName()), (red, green, blue))
    return colors
