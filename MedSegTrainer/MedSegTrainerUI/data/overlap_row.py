"""The row in which the user chooses what becomes of segments that overlap; there where some do."""

from __future__ import annotations

from typing import Protocol, get_args

from slicer.i18n import tr as _

from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.export_labels import Overlap
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.slicer_types import Ui

CHOICES: tuple[Overlap, ...] = get_args(Overlap)


class OverlapSection(Protocol):
    """What has the row."""

    ui: Ui
    panel: PanelView
    parameters: Parameters | None

    def tell(self, text: str, severity: str = "error") -> None: ...


class OverlapRow:
    def __init__(self, section: OverlapSection) -> None:
        self._section, self.ui = section, section.ui
        for choice in CHOICES:
            self.ui.overlapSelector.addItem(_choice_text(choice))
        self.ui.overlapSelector.connect("activated(int)", self.onChosen)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def show(self, choice: Overlap, overlapping: bool) -> None:
        """overlapping: whether segments of the cases in use do."""
        self.ui.overlapFrame.visible = overlapping or choice != CHOICES[0]
        self.ui.overlapSelector.setCurrentIndex(CHOICES.index(choice))
        self.ui.overlapSelector.toolTip = _choice_tip(choice)

    @report_errors
    def onChosen(self, index: int) -> None:
        with self._section.panel.changing():
            open_scene(self._section.parameters).overlap = CHOICES[index]


def _choice_text(choice: Overlap) -> str:
    texts: dict[Overlap, str] = {
        "masks": _("each is learned whole"),
        "order": _("the later class wins"),
        "refuse": _("do not train"),
    }
    return texts[choice]


def _choice_tip(choice: Overlap) -> str:
    tips: dict[Overlap, str] = {
        "masks": _(
            "A voxel can have several classes, such as a tumor inside of a liver: the network answers for each class "
            "by itself, and its results overlap, too."
        ),
        "order": _(
            "A voxel has one class: where segments overlap, the one that comes later in the list of classes. Right for "
            "small slips, and for a tumor that was drawn over the liver around it."
        ),
        "refuse": _("Segments that overlap are told as errors, to be corrected."),
    }
    return tips[choice]
