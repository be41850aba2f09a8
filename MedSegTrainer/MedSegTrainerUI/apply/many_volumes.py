"""The part of section 3 for many images: a folder, or series of the DICOM database, and the table of their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerUI.apply.dicom_series import dicom_database, series_files
from MedSegTrainerUI.apply.folder_run import FolderRun, FolderTask, find_folder_run, start_folder_run
from MedSegTrainerUI.apply.folder_table import DICE, LOOK, VOLUME, LoadedCase, case_rows
from MedSegTrainerUI.apply.likely_dice import NAME_WIDTH
from MedSegTrainerUI.apply.result_view import ResultSection, ResultView
from MedSegTrainerUI.apply.run import ApplyRun, progress_text
from MedSegTrainerUI.apply.series_chooser import SeriesChooser
from MedSegTrainerUI.apply.statistics import StatisticsRun, show_table
from MedSegTrainerUI.models.model_card import ModelCard, read_card
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.shared.messages import allow, report_errors, show_message
from MedSegTrainerUI.shared.tables import ChangedCells, prepare

BESIDE = "segmentations"  # the folder for the results, beside the images
FOLDER, DICOM = "folder", "dicom"
FORMATS = ("seg.nrrd", "nii.gz", "dicom-seg")
MOST_SHOWN = 100  # rows: a table of thousands takes long to fill


class ApplyingSection(ResultSection, Protocol):
    """What has a model and options, and shows results."""

    panel: PanelView
    parameters: Parameters | None
    card: ModelCard | None
    run: ApplyRun | None
    shown: ResultView

    def options(self, card: ModelCard) -> Mapping[str, Any]: ...


class ManyVolumes:
    """``section`` is section 3, whose box ``manyButton`` this fills. run: the last one, which may have ended."""

    def __init__(self, section: ApplyingSection) -> None:
        self._section, self.panel = section, section.panel
        self.uiWidget = slicer.util.loadUI(self.panel.resourcePath("UI/ManyVolumes.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self._box = section.ui.manyButton
        self._box.layout().addWidget(self.uiWidget)
        self.run: FolderRun | None = None
        self._followed = False  # whether the end of the run is still to be told
        self._loaded: dict[str, LoadedCase] = {}
        self._statistics: StatisticsRun | None = None
        self._shown: object = None  # the results that the table has
        self._restoring = False
        self.series = SeriesChooser(self.ui, self.refresh)
        self._connect()
        self._adopt()

    def _connect(self) -> None:
        ui = self.ui
        ui.sourceSelector.addItem(_("Images in a folder"), FOLDER)
        ui.sourceSelector.addItem(_("Series of the DICOM database"), DICOM)
        ui.formatSelector.addItem(_("Segmentations (.seg.nrrd)"), FORMATS[0])
        ui.formatSelector.addItem(_("Label maps (.nii.gz)"), FORMATS[1])
        ui.formatSelector.addItem(_("DICOM segmentations of DICOM series"), FORMATS[2])
        ui.casesTable.setColumnCount(3)
        ui.casesTable.setHorizontalHeaderLabels([_("Volume"), _("Likely Dice"), ""])
        prepare(ui.casesTable, [LOOK], {VOLUME: NAME_WIDTH, DICE: 0})
        self._cells = ChangedCells(ui.casesTable)
        ui.sourceSelector.connect("activated(int)", self.onSource)
        ui.formatSelector.connect("activated(int)", self.onFormat)
        for line in (ui.folderPathLineEdit, ui.outputPathLineEdit):
            line.connect("currentPathChanged(QString)", self.onPath)
            line.connect("validInputChanged(bool)", self.onPathValid)
        ui.applyAllButton.connect("clicked(bool)", self.onApply)
        ui.stopButton.connect("clicked(bool)", self.onStop)
        ui.casesTable.connect("cellClicked(int,int)", self.onCase)
        ui.allStatisticsButton.connect("clicked(bool)", self.onStatistics)
        ui.showFolderButton.connect("clicked(bool)", self.onShowFolder)
        self.tell("")

    def _adopt(self) -> None:
        """Goes on with what was running when Slicer was closed, or shows the results of the last run."""
        self.run = find_folder_run(self.panel.jobs)
        self._followed = self.run is not None and self.run.job.working
        self._box.collapsed = not self._followed

    @property
    def working(self) -> bool:
        return self.run is not None and self._followed

    def setParameterNode(self, parameters: Parameters | None) -> None:
        self._loaded.clear()
        self._statistics = None
        if parameters is None:
            return
        self._restoring = True
        try:
            self.ui.sourceSelector.setCurrentIndex(int(parameters.manySource == DICOM))
            known = parameters.manyFormat in FORMATS
            self.ui.formatSelector.setCurrentIndex(FORMATS.index(parameters.manyFormat) if known else 0)
            self.ui.folderPathLineEdit.setCurrentPath(parameters.manyFolder)
            self.ui.outputPathLineEdit.setCurrentPath(parameters.manyOutput)
        finally:
            self._restoring = False

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.manyMessageLabel, text, severity)

    def cleanup(self) -> None:
        self.series.stop()
        self.run, self._followed = None, False

    # -- showing

    def refresh(self) -> None:
        ui, parameters = self.ui, self._section.parameters
        is_dicom = parameters is not None and parameters.manySource == DICOM
        ui.seriesFrame.visible = is_dicom
        ui.folderLabel.visible = ui.folderPathLineEdit.visible = not is_dicom
        reason = self._why_not()
        allow(
            ui.applyAllButton, reason, _("Segments all of them, one after the other. You can go on working meanwhile.")
        )
        ui.manyReasonLabel.text = reason
        ui.manyReasonLabel.visible = bool(reason) and not self.working
        self._show_run()

    def _show_run(self) -> None:
        ui, run = self.ui, self.run
        ui.manyProgressBar.visible = ui.stopButton.visible = self.working
        results = run.results if run is not None else []
        ui.casesTable.visible = ui.allStatisticsButton.visible = ui.showFolderButton.visible = bool(results)
        if results is not self._shown:
            self._shown = results
            self._cells.fill(case_rows(results[:MOST_SHOWN]), 3)
            more = _("The {count} worst of {all} are shown; results.csv in the folder has all of them.")
            ui.moreLabel.text = more.format(count=MOST_SHOWN, all=len(results))
            ui.moreLabel.visible = len(results) > MOST_SHOWN
        allow(ui.allStatisticsButton, self._why_no_statistics(), _(
            "Volumes in millilitres and mean intensities of all segments, in a table of the scene: loads one result "
            "after the other."
        ))  # fmt: skip
        if run is not None and self.working:
            ui.stopButton.enabled = not run.job.stopping
            ui.manyProgressBar.value = round(1000 * run.watch.progress)
            preparing = _("collecting the series")
            ui.manyProgressBar.setFormat(preparing if run.job.preparing else progress_text(run.watch, run.job.stopping))

    def _why_no_statistics(self) -> str:
        if self._statistics is not None:
            return _("They are being measured.")
        return _("Wait until all are segmented, or press Stop.") if self.working else ""

    def _why_not(self) -> str:
        """Why nothing can be applied now; '' when it can."""
        section = self._section
        if section.parameters is None:
            return _("The scene is being closed.")
        if self.run is not None and self.working:
            return _("{model} is being applied to many images.").format(model=self.run.title)
        if section.run is not None:
            return _("{model} is being applied to {names}.").format(
                model=section.run.title, names=", ".join(section.run.volume_names)
            )
        if not self.panel.environment.ready:
            return self.panel.environment.problem
        if section.card is None:
            return _("Choose a model.")
        return self._why_no_input(section.parameters, section.card)

    def _why_no_input(self, parameters: Parameters, card: ModelCard) -> str:
        if parameters.manySource == DICOM:
            if len(card.channels) > 1:
                text = _("The model takes {count} volumes a case, and a series is one. Load them, and apply it above.")
                return text.format(count=len(card.channels))
            if dicom_database() is None:
                return _("Slicer has no DICOM database yet: open its DICOM module, and import images there.")
            if not self.series.chosen():
                return _("Choose series in the table.")
            return "" if parameters.manyOutput else _("Choose a folder for the results.")
        if not parameters.manyFolder:
            return _("Choose a folder with images.")
        if not Path(parameters.manyFolder).is_dir():
            return _("{path} is no folder. Choose another one.").format(path=parameters.manyFolder)
        return ""

    # -- what the user does

    @report_errors
    def onSource(self, index: int) -> None:
        parameters = open_scene(self._section.parameters)
        parameters.manySource = str(self.ui.sourceSelector.itemData(index))
        if parameters.manySource == DICOM:
            self.series.look_again()
        self.panel.refresh()

    @report_errors
    def onFormat(self, index: int) -> None:
        open_scene(self._section.parameters).manyFormat = str(self.ui.formatSelector.itemData(index))

    @report_errors
    def onPath(self, path: str) -> None:
        self._take_paths()

    @report_errors
    def onPathValid(self, valid: bool) -> None:
        if not valid:  # of an emptied line nothing else tells
            self._take_paths()

    def _take_paths(self) -> None:
        parameters = self._section.parameters
        if parameters is not None and not self._restoring:
            with self.panel.changing():
                parameters.manyFolder = self.ui.folderPathLineEdit.currentPath
                parameters.manyOutput = self.ui.outputPathLineEdit.currentPath

    @report_errors
    def onApply(self) -> None:
        self.tell("")
        reason = self._why_not()
        if reason:
            raise MedSegError(reason)
        self._loaded.clear()
        self.run, self._followed = start_folder_run(self.panel, self._task()), True
        self.panel.refresh()

    def _task(self) -> FolderTask:
        parameters = open_scene(self._section.parameters)
        card = read_card(Path(parameters.model))  # again: it may have been removed, or trained further
        folder = Path(parameters.manyFolder)
        task = FolderTask(
            card=card,
            folder=folder,
            output=Path(parameters.manyOutput) if parameters.manyOutput else folder / BESIDE,
            output_format=parameters.manyFormat,
            options={**self._section.options(card), "overwrite": bool(self.ui.overwriteCheckBox.checked)},
        )
        if parameters.manySource != DICOM:
            return task
        names, database, chosen = self.series.names(), dicom_database(), self.series.chosen()
        files = ((names[one.uid], series_files(database, one)) for one in chosen)
        return replace(task, folder=None, series={names[one.uid]: one.uid for one in chosen}, files=files)

    @report_errors
    def onStop(self) -> None:
        if self.run is None:
            return
        if self.run.job.stop():
            self.run, self._followed = None, False
        self.panel.refresh()

    @report_errors
    def onCase(self, row: int, column: int) -> None:
        self.tell("")
        if self.run is None or row >= len(self.run.results):
            return
        case = self.run.results[row]
        loaded = self._loaded.setdefault(case.name, LoadedCase(self.run, case))
        with slicer.util.WaitCursor():
            segmentation, _volume = loaded.nodes()
        loaded.keep()
        self._section.shown.show_this(segmentation)
        self.panel.refresh()

    @report_errors
    def onStatistics(self) -> None:
        if self.run is not None:
            cases = [case for case in self.run.results if not case.error]
            self._statistics = StatisticsRun(
                [self._loaded.get(case.name) or LoadedCase(self.run, case) for case in cases]
            )
            self.refresh()

    @report_errors
    def onShowFolder(self) -> None:
        if self.run is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.run.output)))

    # -- following the job

    @report_errors
    def onTimer(self) -> None:
        if self._statistics is not None:
            self._measure(self._statistics)
        if self.run is None or not self._followed:
            return
        try:
            self.run.poll(self.panel)
        except MedSegError:
            if not self.run.folder.job_file.exists():  # it could not be started
                self.run, self._followed = None, False
            raise
        finally:
            self._show_run()
        if not self.run.job.working:
            self._followed = False
            self.tell(*self.run.end_text())
            self.panel.refresh()

    def _measure(self, run: StatisticsRun) -> None:
        """One result at a time."""
        self._statistics = None
        run.step()
        if not run.done:
            self._statistics = run
            left = _("Measured: {done} of {count}.").format(done=run.measured, count=run.count)
            self.tell(left, "note")
            return
        self.tell(*run.text())
        show_table(run.table)
        self.refresh()
