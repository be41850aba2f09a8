"""What the buttons of the data section say and whether they can be pressed; each that cannot be used says why."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

from MedSegTrainerUI.shared.messages import allow
from MedSegTrainerUI.slicer_types import Ui


@dataclass(frozen=True, kw_only=True)
class DataState:
    """What the buttons depend on.

    environment: why no job can be started, '' where one can. checking: a check runs. used: rows with a check mark.
    rows, classes: selected ones. volume: one is chosen in the list of volumes. changed: a class was renamed, merged or
    left out, or something else than overlapping classes is made of segments that overlap.
    """

    closing: bool
    environment: str
    checking: bool
    used: int
    rows: int
    classes: int
    volume: bool
    changed: bool


def allow_buttons(ui: Ui, state: DataState) -> None:
    """``ui``: the widgets of the section."""
    _allow_rows(ui, state)
    _allow_classes(ui, state)
    ui.checkButton.text = _("Stop &check") if state.checking else _("&Check data")
    empty = "" if state.used else _("There are no volumes to check yet.")
    allow(
        ui.checkButton,
        "" if state.checking else _closing(state) or empty or state.environment,
        _("Looks for what would spoil a training, such as labels beside their organ. Takes seconds a volume."),
    )


def _allow_rows(ui: Ui, state: DataState) -> None:
    closing, checking = _closing(state), _("A check is running.") if state.checking else ""
    allow(ui.addAllButton, closing, _("Adds each volume of the scene with its segmentation."))
    allow(
        ui.folderButton,
        closing or state.environment or checking,
        _("Adds the labelled volumes of a folder, without loading them into the scene."),
    )
    allow(
        ui.addPairButton,
        closing or (not state.volume and _("Choose a volume on the left first.")),
        _("Adds the chosen volume with the segmentation beside it."),
    )
    allow(
        ui.drawnButton,
        not state.rows and _("Select a row of the table first."),
        _("Says what was drawn in the selected cases, and where: everywhere, in single slices, or inside a box."),
    )
    allow(ui.removeButton, not state.rows and _("Select a row of the table first."), _("Removes the selected rows."))


def _allow_classes(ui: Ui, state: DataState) -> None:
    allow(
        ui.mergeButton,
        state.classes < 2 and _("Select two or more classes first, with Ctrl or Shift."),
        _("Makes one class of those selected, with the name of the first."),
    )
    one = _("Select one class first.")
    allow(ui.renameButton, state.classes != 1 and one, _("Gives the class another name; so does a double click."))
    allow(ui.leaveOutButton, not state.classes and one, _("The network does not learn the selected classes."))
    allow(
        ui.resetButton,
        not state.changed and _("Nothing was changed here."),
        _("Each segment is a class of its own name again."),
    )


def _closing(state: DataState) -> str:
    return _("The scene is being closed.") if state.closing else ""
