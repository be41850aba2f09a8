"""Going on with a training that was made of these rows before: the Start button by another name, or one beside it.

While a training starts from nothing, Start means what it says, and the button beside it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.jobs.job_list import start_model
from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.shared.messages import report_errors
from MedSegTrainerUI.train.job_view import JobSection
from MedSegTrainerUI.train.start_box import StartBox, StartSection


class ContinueButton:
    """``section`` has the widgets. start: the model that is chosen; job: the training that is shown; begin: Start."""

    def __init__(self, section: StartSection, start: StartBox, job: JobSection, begin: Callable[[], object]) -> None:
        self._section, self.ui = section, section.ui
        self._start, self._job, self._begin = start, job, begin
        self.ui.continueButton.connect("clicked()", self.onContinue)

    def refresh(self, why_not: str, start_tip: str) -> None:
        """why_not: why no training can be started now, '' where one can."""
        path, chosen = self.path(), self._chosen()
        goes_on, ui = bool(path and chosen), self.ui
        ui.startButton.text = _("Co&ntinue") if goes_on else _("&Start training")
        ui.continueButton.visible = bool(path) and not chosen
        for button, tip in (
            (ui.startButton, self._tip(path) if goes_on else start_tip),
            (ui.continueButton, self._tip(path)),
        ):
            button.enabled = not why_not
            button.toolTip = why_not or tip

    def path(self) -> str:
        """Of the model to go on from; '' where none was trained on the rows of the table.

        That of the training that is shown, unless another was chosen than that one began as.
        """
        watch, chosen = self._job.watched, self._chosen()
        shown = ""
        if (
            watch is not None
            and not watch.working
            and (not chosen or chosen in (start_model(watch.document), str(watch.folder.path)))
        ):
            shown = str(watch.folder.path)
        return next((path for path in (shown, chosen) if path and self._knows_rows(path)), "")

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    @report_errors
    def onContinue(self) -> None:
        """The model becomes the one that the training starts from, for all to see."""
        path = self.path()
        if path and path != self._chosen():
            self._start.take_model(path)
        self._begin()

    def _chosen(self) -> str:
        parameters = self._section.parameters
        return str(parameters.startModel) if parameters is not None else ""

    def _knows_rows(self, path: str) -> bool:
        card = self._card(path)
        return (
            card is not None
            and not card.members
            and bool({row.name for row in self._section.panel.rows()} & set(card.cases))
        )

    def _card(self, path: str) -> ModelCard | None:
        return self._start.models.card(path)

    def _tip(self, path: str) -> str:
        card = self._card(path) if path else None
        if card is None:
            return ""
        rows = {row.name for row in self._section.panel.rows()}
        text = _(
            "Goes on from {name} with the rows of now: {count}, of which {new} are new. What was prepared for it is "
            "not prepared again, and the cases that were held out stay so."
        )
        return text.format(name=model_name(Path(path)), count=len(rows), new=len(rows - set(card.cases)))
