"""The panel: the five sections, and what they share: parameters, environment, jobs and the one timer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from MedSegTrainerUI.apply.section import ApplySection
from MedSegTrainerUI.data.scene_import import KeptParameters
from MedSegTrainerUI.data.section import DataSection
from MedSegTrainerUI.environment.environment import Environment
from MedSegTrainerUI.environment.section import EnvironmentSection
from MedSegTrainerUI.evaluate.section import EvaluateSection
from MedSegTrainerUI.first_run import FirstRun
from MedSegTrainerUI.jobs.end_notice import Desktop, EndNotice
from MedSegTrainerUI.jobs.job_bar import JobBar
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.panel_view import SectionView
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.case_rows import CaseRow, read_rows
from MedSegTrainerUI.scene.result_origin import is_result
from MedSegTrainerUI.scene.segment_classes import SegmentClass, find_classes
from MedSegTrainerUI.shared.row_breaks import RowBreaks
from MedSegTrainerUI.shared.section_folding import SectionFolding
from MedSegTrainerUI.shared.tab_order import set_tab_order
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, Widget
from MedSegTrainerUI.train.section import TrainSection

TIMER_MILLISECONDS = 500


class Panel(VTKObservationMixin):
    """Sections reach each other through this, and call ``refresh`` after a change that others may show."""

    def __init__(self, uiWidget: Widget, logic: object) -> None:
        VTKObservationMixin.__init__(self)
        self.uiWidget, self.logic = uiWidget, logic
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.parameters: Parameters | None = None
        self.entered = True
        self._refreshing = self._cleaned = False
        self._kept: KeptParameters | None = None
        self.environment = Environment()
        self.jobs = JobList(jobs_folder())
        self.data = DataSection(self)
        self.train = TrainSection(self)
        self.apply = ApplySection(self)
        self.evaluate = EvaluateSection(self)
        self.environmentSection = EnvironmentSection(self)
        self.endNotice = EndNotice(self.ui, Desktop(self.resourcePath("Icons/MedSegTrainer.png")))
        self.jobBar = JobBar(self.ui, self.endNotice)
        self.firstRun = FirstRun(self)
        self._sections: list[SectionView] = [
            self.data,
            self.train,
            self.apply,
            self.evaluate,
            self.environmentSection,
        ]
        buttons = ("dataButton", "trainButton", "applyButton", "evaluateButton", "environmentButton")
        for button, section in zip(buttons, self._sections, strict=True):
            getattr(self.ui, button).layout().addWidget(section.uiWidget)
        self.folding = SectionFolding(self.ui, self._ready())
        set_tab_order(uiWidget)
        self._rowBreaks = RowBreaks(uiWidget)
        self._timer = qt.QTimer()
        self._timer.setInterval(TIMER_MILLISECONDS)
        self._timer.connect("timeout()", self.onTimer)
        self._timer.start()

    def resourcePath(self, name: str) -> str:
        return str(Path(__file__).resolve().parent.parent / "Resources" / name)

    def rows(self) -> list[CaseRow]:
        """The cases to train on: the rows with a check mark."""
        return [row for row in self.all_rows() if row.use]

    def all_rows(self) -> list[CaseRow]:
        return read_rows(self.parameters.parameterNode) if self.parameters else []

    def class_names(self) -> dict[str, str]:
        """The class of a segment name where the user chose another; '' where it is left out."""
        return json.loads(self.parameters.classNames) if self.parameters else {}

    def classes(self) -> list[SegmentClass]:
        """The classes to train, as the user named, merged and left them out."""
        return find_classes(self.rows(), self.class_names())

    def show_result(self, segmentation: SegmentationNode) -> None:
        """What a model drew, and another section brought into the scene, is listed in section 3."""
        self.apply.shown.add(segmentation)

    def setParameterNode(self, parameters: Parameters | None) -> None:
        """Parameters or None, while the scene is being closed."""
        before = self.train.job.watched
        self._observe(False)
        self.parameters = parameters
        with self.changing():
            for section in self._sections:
                section.setParameterNode(parameters)
        self._observe(self.entered)
        again = self.train.job.watched
        if again is not None and again is not before and again.working:  # it went on while Slicer was closed
            self.folding.open("train")

    def _ready(self) -> dict[str, bool]:
        """Of the sections that another follows: whether what they are for is done.

        Data is, when it can be trained on and no segmentation of the scene waits to be added; a training, when it has
        just ended with a model. One that was stopped at once can be resumed where it stands.
        """
        watch = self.train.job.watched
        ended = watch if watch is not None and watch is self.jobBar.ended else None
        done = ended is not None and (
            ended.state == "finished" or (ended.state == "stopped" and ended.measured is not None)
        )
        added = {row.segmentation for row in self.all_rows()}
        drawn = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        waiting = any(node not in added and not is_result(node) for node in drawn)
        return {
            "environment": self.environment.ready,
            "data": bool(self.rows()) and self.data.ready and not waiting,
            "train": ended is not None and done and ended.folder.model.exists(),
        }

    def keepParameters(self) -> None:
        """Before a scene is added to this one."""
        self._kept = KeptParameters(self.parameters) if self.parameters is not None else None

    def giveParametersBack(self) -> str:
        """After it was added; what was done, in words."""
        kept, self._kept = self._kept, None
        return kept.give_back(self.parameters) if kept is not None and self.parameters is not None else ""

    def enter(self) -> None:
        self.entered = True
        self._observe(True)
        self.refresh()
        self.train.job.show_preview()

    def exit(self) -> None:
        """The panel is hidden: it follows the jobs (by its timer), and no longer the scene."""
        self.entered = False
        self.jobBar.floating.hide()
        self._observe(False)
        self.train.job.show_preview()

    def refresh(self) -> None:
        """Every section shows how things stand; called while it does so, it does nothing."""
        if self._refreshing:
            return
        self._refreshing = True
        try:
            for section in self._sections:
                section.refresh()
            self.jobBar.show(self.train.job.watched)
            self.firstRun.refresh()
            self.folding.follow(self._ready())
            self._rowBreaks.adjust()
        finally:
            self._refreshing = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Parameters are written in it: what follows is shown once, at its end, and not at each of them."""
        before, self._refreshing = self._refreshing, True
        try:
            yield
        finally:
            self._refreshing = before
        self.refresh()

    def onTimer(self) -> None:
        for section in self._sections:
            section.onTimer()
        self.jobBar.show(self.train.job.watched)

    def cleanup(self) -> None:
        """Leaves nothing behind that could call this panel; running jobs go on. May be called again."""
        if self._cleaned:
            return
        self._cleaned = True
        self._timer.stop()
        self.removeObservers()
        self.parameters = None  # after a reload the widgets still live, hidden
        for section in self._sections:
            section.cleanup()
        self.endNotice.cleanup()
        self.jobBar.floating.cleanup()

    def _observe(self, is_observed: bool) -> None:
        node = self.parameters.parameterNode if self.parameters else None
        if node is None or is_observed == self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self.onParameters):
            return
        change = self.addObserver if is_observed else self.removeObserver
        change(node, vtk.vtkCommand.ModifiedEvent, self.onParameters)

    def onParameters(self, caller: Node, event: str) -> None:
        self.refresh()


def jobs_folder() -> Path:
    """Where jobs are kept: in the folder of the settings, or in the user's home."""
    return Path(slicer.util.settingsValue("MedSegTrainer/Folder", "") or Path.home() / "MedSegTrainer") / "jobs"
