"""Which sections of the panel are open: one at a time, the next when the one before is ready; or all, by choice."""

from __future__ import annotations

from collections.abc import Mapping

import qt
import slicer

from MedSegTrainerUI.slicer_types import Ui

SECTIONS = ("data", "train", "apply", "evaluate", "environment")
NEXT = {"environment": "data", "data": "train", "train": "apply"}
SETTING = "MedSegTrainer/OneSection"


class SectionFolding:
    """``ui`` are the widgets of MedSegTrainer.ui. ready: of the sections in ``NEXT``, whether they are done."""

    def __init__(self, ui: Ui, ready: Mapping[str, bool]) -> None:
        self._box, self._ready = ui.oneSectionCheckBox, dict(ready)
        self._buttons = {name: getattr(ui, f"{name}Button") for name in SECTIONS}
        self._box.checked = slicer.util.settingsValue(SETTING, True, converter=slicer.util.toBool)
        self._box.connect("clicked(bool)", self.onChoice)
        for name, button in self._buttons.items():  # of what code opens, Qt tells no click
            button.connect("clicked(bool)", lambda opened, name=name: self.onClick(name, opened))
        first = "environment" if not ready["environment"] else self._after("environment")
        if self._box.checked:
            self.open(first)
        else:
            self._buttons["environment"].collapsed = ready["environment"]

    def open(self, name: str) -> None:
        """Opens a section; where it is one at a time, folds the others."""
        for other, button in self._buttons.items():
            if other == name or self._box.checked:
                button.collapsed = other != name

    def follow(self, ready: Mapping[str, bool]) -> None:
        """Where the one open section has become ready, the next opens."""
        before, self._ready = self._ready, dict(ready)
        opened = [name for name, button in self._buttons.items() if not button.collapsed]
        if not self._box.checked or len(opened) != 1 or opened[0] not in NEXT:
            return
        if ready[opened[0]] and not before[opened[0]]:
            self.open(self._after(opened[0]))

    def onClick(self, name: str, opened: bool) -> None:
        if opened:
            self.open(name)

    def onChoice(self, one: bool) -> None:
        qt.QSettings().setValue(SETTING, one)
        opened = [name for name, button in self._buttons.items() if not button.collapsed]
        if one and opened:
            self.open(opened[0])
        elif not one:
            for name in SECTIONS:
                self.open(name)

    def _after(self, name: str) -> str:
        following = NEXT[name]
        return NEXT[following] if following == "data" and self._ready["data"] else following
