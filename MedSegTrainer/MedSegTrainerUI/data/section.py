"""Section 1: which volumes and segmentations to train on, what their segments mean, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.data import tables as data_tables
from MedSegTrainerUI.data.blocking_problem import Problem, find_problem, repair_text, status_text
from MedSegTrainerUI.data.buttons import DataState, allow_buttons
from MedSegTrainerUI.data.class_table import ClassTable
from MedSegTrainerUI.data.drawn_menu import DrawnMenu
from MedSegTrainerUI.data.next_to_label import NextToLabel
from MedSegTrainerUI.data.overlap_row import OverlapRow
from MedSegTrainerUI.data.row_scan import DataLook
from MedSegTrainerUI.data.row_viewer import RowViewer
from MedSegTrainerUI.data.scene_observer import SceneWatch
from MedSegTrainerUI.data.scene_pairs import pair_all, pairs_message
from MedSegTrainerUI.data.verify_run import DataCheck, forget_check, forget_exports, report_page
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.case_drawing import Drawing
from MedSegTrainerUI.scene.case_rows import CaseRow, free_name, write_rows
from MedSegTrainerUI.scene.export_cases import export_cases
from MedSegTrainerUI.scene.export_labels import Overlap, overlap_choice
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.shared import tables as shared_tables
from MedSegTrainerUI.shared.messages import report_errors, show_message
from MedSegTrainerUI.shared.node_choice import keep_readable, let_go
from MedSegTrainerUI.shared.segment_editor import open_segment_editor
from MedSegTrainerUI.slicer_types import VolumeNode

FEWEST_ROWS = 3  # of cases, that there is room for
PIECES_MILLISECONDS = 10  # until the next one: the user's clicks come between


class DataSection:
    """What it shows follows the scene, a moment later; what the user does here is shown at once."""

    def __init__(self, panel: PanelView) -> None:
        self.panel = panel
        self.uiWidget = slicer.util.loadUI(panel.resourcePath("UI/DataSection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.parameters: Parameters | None = None
        self.rows: list[CaseRow] = []
        self.classes: list[SegmentClass] = []
        self.leftOut: list[SegmentClass] = []
        self._problem = Problem()
        self.findings: list[Finding] = []
        self._drawings: dict[str, Drawing] = {}
        self._doctor: list[Finding] = []
        self._doctored: object = None  # the content that the doctor looked at
        self._check: DataCheck | None = None
        self._chosen: object = None
        self._look = DataLook([], {}, "masks")
        self._seen: set[str] = set()  # rows, by name, that the findings are about
        self._watch = SceneWatch(self.onScene)
        self._more = qt.QTimer()
        self._more.setInterval(PIECES_MILLISECONDS)
        self._more.connect("timeout()", self.onMore)
        forget_exports(panel)
        self._connect()

    def _connect(self) -> None:
        ui = self.ui
        shared = (data_tables.VOLUMES, data_tables.DRAWN)
        shared_tables.prepare(ui.pairsTable, shared, {data_tables.SEGMENTATION: 0, data_tables.FINDINGS: 0})
        self._pairCells = shared_tables.ChangedCells(ui.pairsTable)
        self._classTable = ClassTable(self)
        for button, slot in (
            (ui.addAllButton, self.onAddAll), (ui.folderButton, self.onFolder), (ui.addPairButton, self.onAddPair),
            (ui.removeButton, self.onRemove), (ui.repairButton, self.onRepair), (ui.checkButton, self.onCheck),
        ):  # fmt: skip
            button.connect("clicked(bool)", slot)
        ui.pairsTable.connect("cellChanged(int,int)", self.onPairChanged)
        ui.pairsTable.connect("itemSelectionChanged()", self.onSelection)
        ui.classesTable.connect("itemSelectionChanged()", self.onSelection)
        ui.volumesSelector.connect("checkedNodesChanged()", self.onSelection)
        let_go(ui.segmentationSelector)
        keep_readable(ui.segmentationSelector)
        keep_readable(ui.volumesSelector)
        self.next = NextToLabel(self, open_segment_editor)
        self._viewer, self._drawnMenu, self._overlapRow = RowViewer(self), DrawnMenu(self), OverlapRow(self)
        ui.reportLabel.connect("linkActivated(QString)", self.onReport)
        self.tell("")

    def setParameterNode(self, parameters: Parameters | None) -> None:
        self._watch.stop()
        self._more.stop()
        self.parameters = parameters
        self._chosen = None
        self.next.setParameterNode(parameters)
        if parameters is not None:
            self._watch.start()
        elif self._check is not None:
            self._check.stop()
            self._check = None

    def problem(self) -> str:
        """What blocks training, in one sentence; '' when rows and classes are trainable. All rows are looked at."""
        if not self._look.done:
            self._look.finish()
            self._take_look()
            self._show()
        return self._blocking()

    @property
    def ready(self) -> bool:
        """Whether all rows were looked at, and nothing blocks training."""
        return self._look.done and not self._blocking()

    def _blocking(self) -> str:
        return self._problem.text if self._problem.blocks else ""

    def tell(self, text: str, severity: str = "error") -> None:
        show_message(self.ui.messageLabel, text, severity)

    def cleanup(self) -> None:
        self._watch.stop()
        self._more.stop()
        self.next.cleanup()
        self.parameters = None

    @report_errors
    def onTimer(self) -> None:
        self.next.onTimer()
        if self._check is None:
            return
        if self._check.poll():
            self.ui.statusLabel.text = self._check.progress_text
            return
        check, self._check = self._check, None
        try:
            self._finish(check)
        finally:
            self.panel.refresh()

    # -- what there is

    def onScene(self) -> None:
        """While the panel is hidden nobody needs to know, and the user may be painting."""
        if self.panel.entered:
            self.panel.refresh()

    @report_errors
    def refresh(self) -> None:
        changed = self.panel.entered and self._watch.stale and not self._watch.waiting
        if changed or self._choice() != self._chosen:
            self._begin()
            self._show_tables()
        self._show()

    @report_errors
    def onMore(self) -> None:
        """The next piece of what is being looked at; when it is done, the other sections may have to show it."""
        self._look.work()
        self._take_look()
        if self._look.done:
            self.panel.refresh()
        else:
            self._show()

    def _choice(self) -> object:
        """What the user decided, as against what is in the scene."""
        if self.parameters is None:
            return None
        parameters = self.parameters
        return parameters.parameterNode.GetParameter("rows"), parameters.classNames, parameters.overlap

    def _begin(self) -> None:
        """Looks at the scene, and counts the voxels of segments that have changed; goes on later where it is much."""
        self._chosen = self._choice()
        self.rows = self.panel.all_rows()
        nodes = [node for row in self.rows for node in (*row.volumes, row.segmentation, row.roi)]
        self._watch.looked(node for node in nodes if node is not None)
        self._look = DataLook(self.rows, self.panel.class_names(), self._overlap())
        self._look.work()
        self._take_look()

    def _take_look(self) -> None:
        """What is known by now; the classes and findings of before stay until there are new ones."""
        look = self._look
        if not look.done:
            self._problem = self._problem if self._seen else Problem()
            return self._more.start()
        self._more.stop()
        self.classes, self.leftOut = look.classes, look.leftOut
        self.findings, self._drawings = look.findings, look.drawings
        if self._doctored == self._content():
            self.findings = [*self.findings, *self._doctor]
        self._seen = {row.name for row in self.rows if row.use}
        self._problem = find_problem(self.rows, self.classes, self.findings)
        self._show_tables()

    def _overlap(self) -> Overlap:
        return overlap_choice(self.parameters.overlap if self.parameters is not None else "")

    def _content(self) -> object:
        """What the findings of the doctor are about: when it changes they are out of date."""
        return self._choice(), [(item.name, item.segments, item.cases, round(item.ml, 6)) for item in self.classes]

    # -- what is shown

    def _show_tables(self) -> None:
        by_case: dict[str, list[Finding]] = {}
        for one in self.findings:
            by_case.setdefault(one.case, []).append(one)
        unseen = () if self._look.done else {row.name for row in self.rows} - self._seen
        self._pairCells.fill(data_tables.pair_cells(self.rows, by_case, self._drawings, unseen), FEWEST_ROWS)
        self._classTable.show(self.classes, self.leftOut)

    def _show(self) -> None:
        ui = self.ui
        show_message(ui.problemLabel, self._problem.text, self._problem.severity)
        self._overlapRow.show(self._overlap(), self._look.overlapping)
        ui.repairButton.visible = bool(self._problem.action)
        ui.repairButton.text = repair_text(self._problem)
        page = report_page(self.panel, self.parameters.checkJob if self.parameters else "")
        ui.reportLabel.text = '<a href="report">' + _("full report") + "</a>" if page else ""
        text = status_text(self.rows, self.classes, self._blocking(), self._look.done)
        ui.statusLabel.text = self._check.progress_text if self._check else text
        self._enable()
        self.next.refresh()

    def _enable(self) -> None:
        environment = self.panel.environment
        state = DataState(
            closing=self.parameters is None, environment="" if environment.ready else environment.problem,
            checking=self._check is not None, used=sum(row.use for row in self.rows), rows=len(self._selected_rows()),
            classes=len(self._classTable.selected()), volume=bool(self._chosen_volumes()),
            changed=bool(self.panel.class_names()) or self._overlap() != "masks",
        )  # fmt: skip
        allow_buttons(self.ui, state)

    def _selected_rows(self) -> list[CaseRow]:
        return [self.rows[i] for i in shared_tables.selected_rows(self.ui.pairsTable) if i < len(self.rows)]

    def onSelection(self) -> None:
        self._enable()

    # -- the table of cases

    @report_errors
    def onAddAll(self) -> None:
        """Adds the pairs of the scene that are not in the table."""
        pairs = pair_all(slicer.mrmlScene)
        known = {row.segmentation for row in self.rows}
        new = [pair for pair in pairs.rows if pair.segmentation not in known]
        if new:
            self.add(new)
        self.tell(*pairs_message(pairs, len(new)))

    @report_errors
    def onAddPair(self) -> None:
        ui = self.ui
        volumes = self._chosen_volumes()
        self.tell("")
        if not volumes:  # a volume that was checked is gone, of which its chooser does not tell
            raise DataError(_("Choose a volume on the left first."))
        segmentation = ui.segmentationSelector.currentNode()
        self.add([CaseRow(name=volumes[0].GetName(), volumes=volumes, segmentation=segmentation)])
        for volume in volumes:
            ui.volumesSelector.setCheckState(volume, qt.Qt.Unchecked)

    def _chosen_volumes(self) -> tuple[VolumeNode, ...]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        selector = self.ui.volumesSelector  # asked one by one: PythonQt need not know lists of nodes
        return tuple(node for node in nodes if selector.checkState(node) == qt.Qt.Checked)

    @report_errors
    def onRemove(self) -> None:
        gone = self._selected_rows()
        self.write([row for row in self.rows if row not in gone])

    @report_errors
    def onPairChanged(self, row: int, column: int) -> None:
        if column != data_tables.USE:
            return
        use = self.ui.pairsTable.item(row, column).checkState() == qt.Qt.Checked
        self.write([replace(one, use=use) if index == row else one for index, one in enumerate(self.rows)])

    def add(self, new: Sequence[CaseRow]) -> None:
        """Rows of the same volumes are replaced: that is how a segmentation is exchanged."""
        replaced = [(row.images, row.volumes) for row in new]
        kept = [row for row in self.rows if (row.images, row.volumes) not in replaced]
        for row in new:
            kept.append(replace(row, name=free_name(row.name, [one.name for one in kept])))
        self.write(kept)

    def write(self, rows: Sequence[CaseRow]) -> None:
        """These are the rows from now on, shown at once."""
        self._chosen = None
        with self.panel.changing():
            write_rows(open_scene(self.parameters).parameterNode, rows)

    @report_errors
    def onRepair(self) -> None:
        named = [item for item in self.classes if item.name in self._problem.names]
        if self._problem.action == "rename":
            self._classTable.edit_name(named[0])
        else:
            self._classTable.merge(named)

    def look_again(self) -> None:
        """With the next refresh, whatever the scene says."""
        self._chosen = None

    # -- the doctor

    @report_errors
    def onFolder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self.uiWidget, _("Folder with labelled volumes"), "")
        if path:
            self.addFolder(path)

    @report_errors
    def addFolder(self, path: str) -> None:
        """Looks for labelled volumes in a folder; they become rows when they were found."""
        self.tell("")
        check = DataCheck(self.panel, source=path)
        check.start(lambda folder: None)
        self._check = check
        self.panel.refresh()

    @report_errors
    def onCheck(self) -> None:
        if self._check is not None:
            self._check.stop()
            return
        self.tell("")
        rows, classes = self.panel.rows(), self.panel.classes()
        check = DataCheck(self.panel)
        overlap = self._overlap()
        check.start(lambda folder: export_cases(rows, classes, folder, overlap=overlap))
        self._check = check
        self._doctored = self._content()
        self.panel.refresh()

    def _finish(self, check: DataCheck) -> None:
        self._chosen = None
        if check.source:
            rows, self._doctor = check.cases()
            self.add(rows)
            self._doctored, self._chosen = self._content(), None
            return
        self._doctor = check.findings()
        parameters = open_scene(self.parameters)
        earlier, parameters.checkJob = parameters.checkJob, check.folder.path.name
        forget_check(self.panel, earlier)
        general = next((one for one in self._doctor if not one.case and one.severity != "note"), None)
        if general is not None:
            self.tell(f"{general.message} {general.remedy}", general.severity)

    @report_errors
    def onReport(self, link: str) -> None:
        page = report_page(self.panel, open_scene(self.parameters).checkJob)
        if page is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))
