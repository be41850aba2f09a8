"""Whose prediction a training shows: the held-out case that the user chooses, and the one that does worst.

Both are clicks of the user, so they may change what the slice views show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.row_views import show_row, speaks_of
from MedSegTrainerUI.scene.segment_classes import segments_of_classes
from MedSegTrainerUI.scene.segment_layers import segment_volumes
from MedSegTrainerUI.shared.messages import allow, report_errors
from MedSegTrainerUI.shared.slice_views import jump_to, views_with
from MedSegTrainerUI.train.job_protocol import JobView

Dice = Mapping[str, float | None]
LETTERS = 8  # of a case that the list shows at least; more would force the panel wide


class PreviewChoice:
    """``section`` has the panel, the parameters, the widgets, the JobWatch that is shown and its PreviewBox."""

    def __init__(self, section: JobView) -> None:
        self._section, self.ui = section, section.ui
        self._names: list[str] = []
        self._asked = ""  # for whose prediction
        self.ui.caseCombo.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.ui.caseCombo.minimumContentsLength = LETTERS
        self.ui.caseCombo.connect("activated(int)", self.onCase)
        self.ui.worstButton.connect("clicked()", self.onWorst)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def watch_another(self) -> None:
        watch = self._section.watched
        self._asked = (watch.folder.preview_requested() if watch is not None else None) or ""

    def show(self) -> None:
        """What the newest validation says of each case; nothing where there is no choice."""
        watch, preview = self._section.watched, self._section.preview
        per_case = watch.per_case if watch is not None else {}
        self.ui.caseFrame.visible = len(per_case) > 1
        is_working = watch is not None and watch.working
        self.ui.awaitedLabel.visible = self._asked in per_case and self._asked != preview.case and is_working
        if len(per_case) < 2:
            return
        dice = {name: mean_dice(values) for name, values in per_case.items()}
        self._list(dice)
        current = self._asked if self._asked in per_case else preview.case
        if current in per_case and self.ui.caseCombo.currentIndex != self._names.index(current):
            self.ui.caseCombo.setCurrentIndex(self._names.index(current))
        reason = "" if is_working else _("The training has ended: it makes no further predictions.")
        allow(
            self.ui.caseCombo,
            reason,
            _("The held-out case whose prediction is shown, from the next validation on. In brackets its mean Dice."),
        )
        self.ui.awaitedLabel.text = _("The prediction of {case} comes with the next validation.").format(
            case=self._asked
        )
        self._show_worst(dice)

    @report_errors
    def onCase(self, index: int) -> None:
        if self._section.parameters is None:
            return
        name = self._names[index]
        self._ask_for(name)
        row = self._row(name)
        if self._section.parameters.showPreview and row.volumes and not views_with(row.volumes[0]):
            show_row(row, self._section.panel.all_rows())
        self._section.show_preview()
        self.show()

    @report_errors
    def onWorst(self) -> None:
        watch = self._section.watched
        if self._section.parameters is None or watch is None:
            return
        per_case = watch.per_case
        name = worst_case({case: mean_dice(values) for case, values in per_case.items()})
        self._ask_for(name)
        row = self._row(name)
        if row.volumes:
            show_row(row, self._section.panel.all_rows())
            place = self._place_to_look_at(row, per_case[name])
            if place is not None:
                jump_to(place)
        self._section.show_preview()
        self.show()

    def _ask_for(self, name: str) -> None:
        """Raises StorageError."""
        watch = self._section.watched
        if watch is not None and watch.working and name != (self._asked or self._section.preview.case):
            watch.folder.request_preview(name)
            self._asked = name

    def _row(self, name: str) -> CaseRow:
        """That of the case; one without volumes, about which the user is told, where they are not in the scene."""
        rows = self._section.panel.all_rows()
        row = next((row for row in rows if row.name == name), None)
        if row is None:
            self.tell(_("{case} is not among the volumes of the table above.").format(case=name), "note")
        elif not row.volumes:
            self.tell(_("{name} lies in a folder: load its files to see it.").format(name=name), "note")
        return row or CaseRow(name=name)

    def _place_to_look_at(self, row: CaseRow, dice: Dice) -> Sequence[float] | None:
        """Where prediction and reference differ most, else the middle of what the worst class should be; RAS, mm."""
        preview = self._section.preview
        if preview.case == row.name and preview.differs_at is not None:
            place = [0.0, 0.0, 0.0]
            row.volumes[0].TransformPointToWorld(preview.differs_at, place)
            return place
        if row.segmentation is None:
            return None
        sizes = segment_volumes(row.segmentation)
        worst = worst_case(dice)
        owners = segments_of_classes(row.segmentation, self._section.panel.classes())
        drawn = [one for one, item in owners.items() if item.name == worst and sizes[one] > 0]
        segment = max(drawn, key=sizes.__getitem__, default="") or speaks_of(row, [])
        return row.segmentation.GetSegmentCenterRAS(segment) if segment else None

    def _list(self, dice: Dice) -> None:
        """Entries that stay are not made again: the list may be open."""
        combo, names = self.ui.caseCombo, list(dice)
        texts = [name if dice[name] is None else f"{name} ({dice[name]:.2f})" for name in names]
        if names != self._names:
            self._names = names
            combo.clear()
            for text in texts:
                combo.addItem(text)
        for index, text in enumerate(texts):
            if combo.itemText(index) != text:
                combo.setItemText(index, text)

    def _show_worst(self, dice: Dice) -> None:
        worst = worst_case(dice)
        value = dice.get(worst)
        self.ui.worstButton.text = _("Worst") if value is None else _("Worst ({dice:.2f})").format(dice=value)
        reason = "" if worst else _("No held-out case has a Dice.")
        tip = _("{case} has the lowest mean Dice. A click shows it where the prediction differs most, and asks for it.")
        allow(self.ui.worstButton, reason, tip.format(case=worst))


def mean_dice(dice: Dice) -> float | None:
    """Over the classes that a case has; None where it has none."""
    known = [value for value in dice.values() if value is not None]
    return sum(known) / len(known) if known else None


def worst_case(dice: Dice) -> str:
    """The name with the lowest Dice; '' where none is known."""
    known = {name: value for name, value in dice.items() if value is not None}
    return min(known, key=known.__getitem__, default="")
