"""What the parts of the job's view see of it."""

from __future__ import annotations

from typing import Protocol

from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.jobs.log_view import JobLog
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.slicer_types import Ui
from MedSegTrainerUI.train.charts import Charts
from MedSegTrainerUI.train.prediction_preview import Preview


class JobView(Protocol):
    """``watched``: the training that is displayed, or None; the methods are those of ``JobSection``."""

    panel: PanelView
    parameters: Parameters | None
    ui: Ui
    watched: JobWatch | None
    charts: Charts
    preview: Preview
    log: JobLog

    def tell(self, text: str, severity: str = "error") -> None: ...

    def follow(self, folder: JobFolder) -> None: ...

    def resume(self, folder: JobFolder) -> None: ...

    def let_go(self, folder: JobFolder) -> None: ...

    def show_preview(self) -> None: ...
