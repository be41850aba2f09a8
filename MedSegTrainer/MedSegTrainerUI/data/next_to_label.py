"""The part of section 1 that says where drawing would help most: volume, slice and why; a click goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import slicer
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError, MedSegError, ModelError
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.data.suggest_run import Suggestion, SuggestRun, Unlabelled, find_suggest_run, start_suggest_run
from MedSegTrainerUI.models.model_card import ModelCard, model_stamp, read_card
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_slices import drawn_slices, is_sparse
from MedSegTrainerUI.scene.result_origin import is_accepted, is_result
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.scene.uncertainty_view import is_map, show_map
from MedSegTrainerUI.shared.messages import allow, report_errors, show_message
from MedSegTrainerUI.shared.slice_views import jump_to
from MedSegTrainerUI.shared.tables import Cell, ChangedCells, prepare
from MedSegTrainerUI.slicer_types import SegmentationNode, Ui, VolumeNode

VOLUME, SLICE, WHY = range(3)
NAME_WIDTH = 90  # pixels: the rest is for the words beside it
Edit = Callable[[SegmentationNode, VolumeNode], None]


class LabellingSection(Protocol):
    """What has the rows of training data."""

    ui: Ui
    panel: PanelView
    parameters: Parameters | None
    rows: list[CaseRow]
    classes: list[SegmentClass]


class NextToLabel:
    """``section`` is section 1, whose box ``nextButton`` this fills. edit: opens an editor on a segmentation."""

    def __init__(self, section: LabellingSection, edit: Edit) -> None:
        self._section, self.panel, self.edit = section, section.panel, edit
        self.uiWidget = slicer.util.loadUI(self.panel.resourcePath("UI/NextToLabel.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        section.ui.nextButton.layout().addWidget(self.uiWidget)
        section.ui.nextButton.collapsed = True
        section.ui.nextButton.connect("contentsCollapsed(bool)", self.onFold)
        self.run: SuggestRun | None = None
        self._followed = False  # whether the end of the run is still to be told
        self.suggestions: list[Suggestion] = []
        self._card: tuple[object, ModelCard | None] = (None, None)
        ui = self.ui
        ui.suggestionsTable.setColumnCount(3)
        ui.suggestionsTable.setHorizontalHeaderLabels([_("Volume"), _("Slice"), _("Why")])
        prepare(ui.suggestionsTable, [WHY], {VOLUME: NAME_WIDTH})
        self._cells = ChangedCells(ui.suggestionsTable)
        ui.suggestButton.connect("clicked(bool)", self.onSuggest)
        ui.suggestStopButton.connect("clicked(bool)", self.onStop)
        ui.suggestionsTable.connect("cellClicked(int,int)", self.onSuggestion)
        self.tell("")
        self._adopt()

    def _adopt(self) -> None:
        """Goes on with what was asked before Slicer was closed."""
        self.run = find_suggest_run(self.panel.jobs)
        if self.run is None:
            return
        self._followed = self.run.job.working
        self._section.ui.nextButton.collapsed = not self._followed
        if not self._followed:
            try:
                self.suggestions = self.run.suggestions()
            except MedSegError:
                self.run = None

    @property
    def working(self) -> bool:
        return self.run is not None and self._followed

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.suggestMessageLabel, text, severity)

    def setParameterNode(self, parameters: Parameters | None) -> None:
        if parameters is None and self.run is not None:
            self.run.same_scene = False
            if self.run.job.preparing:
                self.run.job.stop()
                self.run, self._followed = None, False

    def cleanup(self) -> None:
        if self.run is not None and self.run.job.preparing:
            self.run.job.forget()
        self.run, self._followed = None, False

    # -- showing

    @report_errors
    def onFold(self, folded: bool) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Looks through the scene, but not while nobody sees it: a scene can have many segments."""
        if self._section.ui.nextButton.collapsed:
            return
        ui, card, cases = self.ui, self._model(), self._cases()
        reason = self._why_not(card, cases)
        ui.suggestLabel.text = reason or _(
            "{model} looks at the volumes that are not drawn, or in slices only: {count}."
        ).format(model=model_name(card.path) if card else "", count=len(cases))
        tip = _("The model segments them, and says where drawing would teach it most. That takes as long as Apply.")
        allow(ui.suggestButton, reason, tip)
        rows = [self._row(one) for one in self.suggestions] if self.run is not None else []
        ui.suggestionsTable.visible = bool(rows)
        self._cells.fill(rows, 1)
        self._show_run()

    def _show_run(self) -> None:
        ui = self.ui
        ui.suggestProgressBar.visible = ui.suggestStopButton.visible = self.working
        if self.run is not None and self.working:
            ui.suggestStopButton.enabled = not self.run.job.stopping
            ui.suggestProgressBar.value = round(1000 * self.run.watch.progress)
            ui.suggestProgressBar.setFormat(_("stopping") if self.run.job.stopping else "%p %")

    def _row(self, one: Suggestion) -> list[Cell]:
        assert self.run is not None
        names = {"z": _("axial"), "y": _("coronal"), "x": _("sagittal")}
        tip = one.text + "\n" + _("A click shows it, and opens the Segment Editor.")
        return [
            Cell(text=self.run.volume_name(one.case), tip=tip),
            Cell(text=f"{names.get(one.axis, one.axis)} {one.slice}", tip=tip),
            Cell(text=one.text, tip=tip),
        ]

    def _model(self) -> ModelCard | None:
        """The model that is chosen in section 3; read again where it has changed."""
        path = self._section.parameters.model if self._section.parameters is not None else ""
        stamp = path, model_stamp(Path(path)) if path else None
        if stamp != self._card[0]:
            try:
                self._card = stamp, read_card(Path(path)) if path else None
            except ModelError:
                self._card = stamp, None
        return self._card[1]

    def _cases(self) -> list[Unlabelled]:
        """Volumes that nobody has drawn on, and the sparse rows; those of the model's number of channels."""
        card = self._model()
        if card is None:
            return []
        sparse = [row for row in self._section.rows if row.use and is_sparse(row)]
        cases = [Unlabelled(volumes=row.volumes) for row in sparse]
        if len(card.channels) == 1:
            cases += [Unlabelled(volumes=(volume,)) for volume in _undrawn_volumes(self._section.rows)]
        return [one for one in cases if len(one.volumes) == len(card.channels)]

    def _why_not(self, card: ModelCard | None, cases: Sequence[Unlabelled]) -> str:
        if self._section.parameters is None:
            return _("The scene is being closed.")
        if self.run is not None and self.working:
            return _("{model} is looking at the volumes.").format(model=self.run.title)
        if card is None:
            return _("Train a model first, or choose one in section 3: it says what it is unsure about.")
        if not self.panel.environment.ready:
            return self.panel.environment.problem
        if not cases:
            return _("Load volumes that are not drawn yet: there is none, and no case that is drawn in slices only.")
        return ""

    # -- what the user does

    @report_errors
    def onSuggest(self) -> None:
        self.tell("")
        card = self._model()
        reason = self._why_not(card, self._cases())
        if reason or card is None:
            raise DataError(reason)
        with slicer.util.WaitCursor():
            cases = [self._with_drawn(one) for one in self._cases()]
            self.run, self._followed = start_suggest_run(self.panel, card, cases), True
        self.suggestions = []
        self.panel.refresh()

    def _with_drawn(self, case: Unlabelled) -> Unlabelled:
        row = next((one for one in self._section.rows if one.volumes == case.volumes and is_sparse(one)), None)
        if row is None:
            return case
        try:
            return Unlabelled(volumes=case.volumes, drawn=drawn_slices(row, self._section.classes))
        except DataError:  # nothing is drawn there yet
            return case

    @report_errors
    def onStop(self) -> None:
        if self.run is not None:
            if self.run.job.stop():
                self.run, self._followed = None, False
            self.panel.refresh()

    @report_errors
    def onSuggestion(self, index: int, column: int) -> None:
        self.tell("")
        if self.run is None or index >= len(self.suggestions):
            return
        one = self.suggestions[index]
        open_scene(self._section.parameters)
        volume = self.run.volumes(one.case)[0]
        with slicer.util.WaitCursor():
            prediction = self.run.prediction(one)
            show_map(prediction, volume)
        row = next((row for row in self._section.rows if row.volumes[:1] == (volume,)), None)
        own = row.segmentation if row is not None and row.segmentation is not None else prediction
        _show_alone(prediction, own)
        _go_to(one, volume)
        self.tell(_told(own, prediction), "note")
        self.panel.show_result(prediction)
        self.panel.refresh()
        self.edit(own, volume)

    # -- following the job

    @report_errors
    def onTimer(self) -> None:
        if self.run is None or not self._followed:
            return
        try:
            self.run.job.poll(self.panel.environment.start)
        except MedSegError:
            self.run, self._followed = None, False
            self.panel.refresh()
            raise
        self._show_run()
        if self.run.job.working:
            return
        self._followed = False
        try:
            self.suggestions = self.run.suggestions()
        finally:
            self.panel.refresh()


def _undrawn_volumes(rows: Sequence[CaseRow]) -> list[VolumeNode]:
    """Volumes of the scene that no row has and on which nobody has drawn: what a model drew does not count."""
    in_rows = {volume for row in rows for volume in row.volumes}
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    drawn_on = {
        node.GetNodeReference(role)
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        if not is_result(node) or is_accepted(node)
    }
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and node.GetImageData() is not None
        and not is_map(node)
        and node not in in_rows
        and node not in drawn_on
    ]


def _show_alone(prediction: SegmentationNode, own: SegmentationNode) -> None:
    """Both are seen, and no other; what the model drew as an outline, where the user draws in a segmentation of his."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility(node in (prediction, own))
    prediction.GetDisplayNode().SetVisibility2DFill(prediction is own)


def _go_to(one: Suggestion, volume: VolumeNode) -> None:
    """The slice in all views, which are turned to the axes of the volume."""
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.RotateToVolumePlane(volume)
    jump_to(to_world.TransformPoint(one.center))


def _told(own: SegmentationNode, prediction: SegmentationNode) -> str:
    if own is prediction:
        return _(
            "Correct this slice completely in the Segment Editor. Then press 'Add to training data' in section 3: only "
            "the slices that you have corrected are learned."
        )
    return _("Draw this slice completely in the Segment Editor. The outline is what the model would draw.")
