"""A combo box of the models that there are, with a button for a model that lies elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.models.model_card import ModelCard, read_card
from MedSegTrainerUI.models.model_list import ModelEntry, ModelList, forget_model, remember_model
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.slicer_types import Widget

SECONDS_BETWEEN_SCANS = 5.0  # of the models that there are


class ModelUser(Protocol):
    """What a model is chosen for. take_model: with its path, '' for none."""

    def take_model(self, path: str) -> None: ...

    def tell(self, text: str, severity: str = "error") -> None: ...


class ModelChooser:
    """``selector`` is a combo box; ``menu_button``, a tool button, gets a menu.

    jobs: gives the job folders, newest first. none: the first entry, which is no model; '' where there is no such.
    """

    def __init__(
        self,
        user: ModelUser,
        selector: Widget,
        menu_button: Widget,
        jobs: Callable[[], Sequence[JobFolder]],
        none: str = "",
    ) -> None:
        self._user, self._selector, self._jobs = user, selector, jobs
        self._none = [ModelEntry(path="", title=none)] if none else []
        self._models = ModelList()
        self.entries: list[ModelEntry] = []
        self._scanned = 0.0
        menu = qt.QMenu(menu_button)
        menu.addAction(_("Model folder...")).connect("triggered(bool)", self.onChooseFolder)
        menu.addAction(_("Model file (zip)...")).connect("triggered(bool)", self.onChooseFile)
        menu_button.setMenu(menu)
        selector.connect("activated(int)", self.onModel)

    def tell(self, text: str, severity: str = "error") -> None:
        self._user.tell(text, severity)

    def look_again(self) -> None:
        """With the next ``show``: there may be other models."""
        self._scanned = 0.0

    def show(self, path: str) -> ModelCard | None:
        """The list of models with this one chosen; its card, None where it cannot be read."""
        unlisted = bool(path) and path not in [one.path for one in self.entries]
        if time.monotonic() - self._scanned > SECONDS_BETWEEN_SCANS or unlisted:
            self._scanned = time.monotonic()
            self._list(path)
        paths = [one.path for one in self.entries]
        self._selector.setCurrentIndex(paths.index(path) if path in paths else -1)
        tip = _("What was trained here, newest first, and models that were used lately.")
        self._selector.toolTip = f"{self._selector.currentText}\n{tip}" if path else tip
        return self.card(path)

    def card(self, path: str) -> ModelCard | None:
        return self._models.card(path) if path else None

    @report_errors
    def onModel(self, index: int) -> None:
        self.tell("")
        if 0 <= index < len(self.entries):
            self._user.take_model(self.entries[index].path)

    @report_errors
    def onChooseFolder(self) -> None:
        self.choose(
            qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Choose the folder of a model"), "")
        )

    @report_errors
    def onChooseFile(self) -> None:
        filters = _("Models (*.zip)")
        self.choose(
            qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Choose the zip file of a model"), "", filters)
        )

    @report_errors
    def choose(self, chosen: str) -> None:
        """A folder or a file, '' where the user has cancelled; what is no model is told."""
        if not chosen:
            return
        self.tell("")
        path = str(Path(chosen))
        try:
            read_card(Path(path))
        except ModelError:
            forget_model(path)
            raise
        remember_model(path)
        self.look_again()
        self._user.take_model(path)

    def _list(self, path: str) -> None:
        entries = [*self._none, *self._models.entries(self._jobs(), path)]
        if entries == self.entries:
            return
        self.entries = entries
        blocked = self._selector.blockSignals(True)
        self._selector.clear()
        for entry in entries:
            self._selector.addItem(entry.title)
        self._selector.blockSignals(blocked)


def why_no_model(path: str) -> str:
    """What is wrong with a model that cannot be read; '' where nothing is."""
    try:
        read_card(Path(path))
    except ModelError as error:
        return str(error)
    return ""
