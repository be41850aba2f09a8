"""What a training starts from: nothing, or a model, with what of it is kept and which classes had other names there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from slicer.i18n import tr as _

from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.models.model_chooser import ModelChooser, why_no_model
from MedSegTrainerUI.panel_view import PanelView, open_scene
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.shared.messages import report_errors, show_message
from MedSegTrainerUI.slicer_types import Ui
from MedSegTrainerUI.train.rename_row import RenameRow
from MedSegTrainerUI.train.start_fit import StartFit, rename_entries, start_fit


class StartSection(Protocol):
    """What has the widgets, the panel and the parameters."""

    ui: Ui
    panel: PanelView
    parameters: Parameters | None

    def tell(self, text: str, severity: str = "error") -> None: ...


class StartBox:
    """The choice is kept in the parameters; ``settings`` are what a job is told of it."""

    def __init__(self, section: StartSection) -> None:
        self._section, self.ui = section, section.ui
        jobs = section.panel.jobs.all
        self.models = ModelChooser(self, self.ui.startSelector, self.ui.startModelButton, jobs, _("nothing"))
        self.renaming = RenameRow(self.ui, self.onOrigins)
        self.ui.adaptCheckBox.connect("toggled(bool)", self.onAdapt)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def take_model(self, path: str) -> None:
        """The user has chosen it; '' is nothing."""
        parameters = open_scene(self._section.parameters)
        with self._section.panel.changing():
            if path != parameters.startModel:
                parameters.startModel, parameters.startRename, parameters.startAdapt = path, "{}", False

    def take_settings(self, settings: Mapping[str, Any]) -> None:
        """Those of a file; where it does not say what to start from, that stays as it is."""
        if "start.model" not in settings:
            return
        renamed: dict[str, list[str]] = {}
        for entry in settings.get("start.rename", []):
            old, _equals, name = entry.partition("=")
            renamed.setdefault(name.strip(), []).append(old.strip())
        self.take_model(settings["start.model"])
        with self._section.panel.changing():
            parameters = open_scene(self._section.parameters)
            parameters.startRename = json.dumps(renamed)
            parameters.startAdapt = settings.get("start.adapt", False)

    def refresh(self) -> None:
        parameters, ui = self._section.parameters, self.ui
        if parameters is None:
            return
        card, problem = self.models.show(parameters.startModel), self.problem()
        ui.adaptCheckBox.visible = card is not None and not card.members
        ui.adaptCheckBox.checked = parameters.startAdapt
        fit = self._fit(card).told if card is not None and not card.members else ""
        text = "\n".join(part for part in (fit, problem) if part)
        show_message(ui.startLabel, text, "warning" if problem else "note")
        if card is None or card.members:
            self.renaming.hide()
        else:
            self.renaming.show(card, self._class_names(), self._renamed())

    def problem(self) -> str:
        """Why no training can start from the model, and what to do; '' where one can, or where none is chosen."""
        parameters = self._section.parameters
        if parameters is None or not parameters.startModel:
            return ""
        card = self.models.card(parameters.startModel)
        if card is None:
            nothing = _("Or start from nothing.")
            return f"{why_no_model(parameters.startModel)} {nothing}"
        if card.members:
            text = _(
                "{name} is an ensemble of {count} models, and a training starts from one. Choose the folder of one of "
                "them with the button [...]."
            )
            return text.format(name=model_name(card.path), count=card.members)
        misfits = self._fit(card).misfits
        if not misfits or parameters.startAdapt:
            return ""
        remedy = _("Set the check mark of 'Adapt' to go on with what fits, or choose another model.")
        return " ".join([*misfits, remedy])

    def settings(self) -> dict[str, Any]:
        """For the job, by their keys, with the classes as they are called now."""
        parameters = open_scene(self._section.parameters)
        if not parameters.startModel:
            return {}
        card, names = self.models.card(parameters.startModel), [item.name for item in self._section.panel.classes()]
        return {
            "start.model": parameters.startModel,
            "start.rename": rename_entries(card, names, self._renamed()) if card is not None else [],
            "start.adapt": parameters.startAdapt,
        }

    @report_errors
    def onAdapt(self, checked: bool) -> None:
        parameters = self._section.parameters
        if parameters is not None and parameters.startAdapt != checked:
            with self._section.panel.changing():
                parameters.startAdapt = checked

    @report_errors
    def onOrigins(self, name: str, olds: list[str]) -> None:
        """The classes of the model that a class was, beside that of its own name."""
        renamed = {**self._renamed(), name: olds}
        with self._section.panel.changing():
            parameters = open_scene(self._section.parameters)
            parameters.startRename = json.dumps({one: was for one, was in renamed.items() if was})

    def _renamed(self) -> dict[str, list[str]]:
        return json.loads(self._section.parameters.startRename) if self._section.parameters is not None else {}

    def _class_names(self) -> list[str]:
        return [item.name for item in self._section.panel.data.classes]

    def _fit(self, card: ModelCard) -> StartFit:
        return start_fit(card, self._section.panel.rows(), self._class_names(), self._renamed())
