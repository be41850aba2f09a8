"""What a section sees of the panel around it, and the panel of a section."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import IO, Protocol

from slicer.i18n import tr as _

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.slicer_types import SegmentationNode, Widget


class EnvironmentView(Protocol):
    """Where PyTorch lives, for a section that starts jobs in it."""

    @property
    def ready(self) -> bool: ...

    @property
    def problem(self) -> str: ...

    @property
    def device(self) -> str: ...

    def start(self, folder: JobFolder) -> subprocess.Popen[bytes]: ...

    def start_command(self, arguments: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]: ...


class DataView(Protocol):
    """The training data, for the other sections. classes: those to learn, as they were when last looked at. add: rows,
    in place of those of the same volumes. look_again: with the next refresh, whatever the scene says."""

    @property
    def classes(self) -> Sequence[SegmentClass]: ...

    def problem(self) -> str: ...

    def tell(self, text: str, severity: str = "error") -> None: ...

    def add(self, new: Sequence[CaseRow]) -> None: ...

    def look_again(self) -> None: ...


class PanelView(Protocol):
    """What the sections share; the docstrings are at ``Panel``."""

    @property
    def parameters(self) -> Parameters | None: ...

    @property
    def entered(self) -> bool: ...

    @property
    def environment(self) -> EnvironmentView: ...

    @property
    def jobs(self) -> JobList: ...

    @property
    def data(self) -> DataView: ...

    def resourcePath(self, name: str) -> str: ...

    def rows(self) -> list[CaseRow]: ...

    def all_rows(self) -> list[CaseRow]: ...

    def class_names(self) -> dict[str, str]: ...

    def classes(self) -> list[SegmentClass]: ...

    def changing(self) -> AbstractContextManager[None]: ...

    def show_result(self, segmentation: SegmentationNode) -> None: ...

    def refresh(self) -> None: ...


class SectionView(Protocol):
    """A section, for the panel. parameters: None while the scene is being closed."""

    uiWidget: Widget

    def setParameterNode(self, parameters: Parameters | None) -> None: ...

    def refresh(self) -> None: ...

    def onTimer(self) -> None: ...

    def cleanup(self) -> None: ...


def open_scene(parameters: Parameters | None) -> Parameters:
    """The parameters of the scene; raises UsageError while there are none."""
    if parameters is None:
        raise UsageError(_("The scene is being closed. Open this module again when it is done."))
    return parameters
