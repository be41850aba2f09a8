"""What the panel says before anything was set up or trained: three sentences, and sample data to try it with."""

from __future__ import annotations

from typing import Protocol

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.data.scene_pairs import pair_all
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.samples.sample_data import load_phantoms
from MedSegTrainerUI.scene.case_rows import write_rows
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.shared.section_folding import SectionFolding
from MedSegTrainerUI.slicer_types import Ui

SETTING = "MedSegTrainer/FirstRunClosed"


class FirstRunPanel(PanelView, Protocol):
    """The panel with its own widgets."""

    @property
    def ui(self) -> Ui: ...

    @property
    def folding(self) -> SectionFolding: ...


class FirstRun:
    def __init__(self, panel: FirstRunPanel) -> None:
        self.panel = panel
        panel.ui.sampleButton.connect("clicked()", self.onSample)
        panel.ui.dismissButton.connect("clicked()", self.onDismiss)

    def refresh(self) -> None:
        panel = self.panel
        closed = slicer.util.settingsValue(SETTING, False, converter=slicer.util.toBool)
        begun = closed or panel.environment.ready or panel.parameters is None or panel.all_rows() or panel.jobs.all()
        panel.ui.firstRunFrame.visible = not begun

    def tell(self, text: str, severity: str = "error") -> None:
        self.panel.folding.open("data")
        self.panel.data.tell(text, severity)

    @report_errors
    def onSample(self) -> None:
        """Adds the phantoms that have segments, and none of what else is in the scene."""
        with slicer.util.WaitCursor():
            volumes = load_phantoms()
        rows = [row for row in pair_all(slicer.mrmlScene).rows if row.volumes[0] in volumes]
        with self.panel.changing():
            write_rows(open_scene(self.panel.parameters).parameterNode, rows)
        message = _(
            "{count} phantoms to train on were added. Set up section 5, then press Start training in section 2."
        )
        self.tell(message.format(count=len(rows)), "note")

    @report_errors
    def onDismiss(self) -> None:
        qt.QSettings().setValue(SETTING, True)
        self.refresh()
