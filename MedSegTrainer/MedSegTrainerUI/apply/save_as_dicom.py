"""The button that saves a result as a DICOM segmentation into Slicer's DICOM database, beside the series it belongs to.

The library makes the file, in a process: it refers to the slices that the volume was loaded from. All is done a piece
at a time, so that Slicer can be used meanwhile.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError, JobError
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.apply.dicom_series import add_to_database, came_from_database, dicom_database, volume_files
from MedSegTrainerUI.apply.folder_run import link_series
from MedSegTrainerUI.apply.result_view import ResultSection, ResultView
from MedSegTrainerUI.jobs.process import end_process_tree
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.corrected_slices import changed_part, compare
from MedSegTrainerUI.scene.export_layers import export_layers
from MedSegTrainerUI.scene.result_origin import origin_of, volumes_of
from MedSegTrainerUI.scene.segment_classes import find_classes
from MedSegTrainerUI.shared.messages import allow, report_errors
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode

SECONDS = 0.015  # of work between two clicks of the user
LONGEST_REASON = 600
DONE, WAITING = object(), object()  # of the pieces: nothing is left to do; a process works


class SavingSection(ResultSection, Protocol):
    """What shows a result."""

    panel: PanelView
    shown: ResultView


class SaveAsDicom:
    """``section`` has the widgets, the panel and the result that is shown."""

    def __init__(self, section: SavingSection) -> None:
        self._section, self.ui = section, section.ui
        self._pieces: Generator[object, None, None] | None = None
        self.ui.dicomButton.connect("clicked(bool)", self.onSave)

    def tell(self, text: str, severity: str = "error") -> None:
        self._section.tell(text, severity)

    def refresh(self) -> None:
        node = self._section.shown.node()
        if node is not None:
            tip = _(
                "Saves the segments as a DICOM segmentation of the series into Slicer's DICOM database, from where "
                "they can be exported and sent."
            )
            allow(self.ui.dicomButton, self._why_not(node), tip)

    def cleanup(self) -> None:
        """Ends what is being done; nothing of it is left."""
        if self._pieces is not None:
            self._pieces.close()
        self._pieces = None

    def _why_not(self, node: SegmentationNode) -> str:
        if self._pieces is not None:
            return _("It is being saved.")
        volumes = volumes_of(node)
        if not volumes:
            return _("The volume of this result is not in the scene any more.")
        if not came_from_database(volumes[0]) or dicom_database() is None:
            text = _("{volume} was not loaded from Slicer's DICOM database, so that there is no series to refer to.")
            return text.format(volume=volumes[0].GetName())
        return self._section.panel.environment.problem

    @report_errors
    def onSave(self) -> None:
        self.tell("")
        node = self._section.shown.node()
        if node is None or self._pieces is not None:
            return
        reason = self._why_not(node)
        if reason:
            raise DataError(reason)
        self._pieces = self._save(node, volumes_of(node)[0], dicom_database())
        self.onTimer()
        self._section.panel.refresh()

    @report_errors
    def onTimer(self) -> None:
        """The next pieces of what is being saved."""
        if self._pieces is None:
            return
        until, pieces = time.perf_counter() + SECONDS, self._pieces
        try:
            while (step := next(pieces, DONE)) is not DONE:
                if step is WAITING or time.perf_counter() >= until:
                    return
        except BaseException:
            self._end()
            raise
        self._end()

    def _end(self) -> None:
        self._pieces = None
        self._section.panel.refresh()

    def _save(self, node: SegmentationNode, volume: VolumeNode, database: Any) -> Generator[object, None, None]:
        """All that there is to do, in pieces. Raises MedSegError."""
        files = volume_files(database, volume)
        folder = Path(tempfile.mkdtemp(prefix="MedSegTrainer-"))
        try:
            yield from link_series([("series", files)], folder)
            made_by = yield from _made_by(node, volume)
            _write_segments(node, volume, folder / "segments.seg.nrrd")
            result = folder / "segmentation.seg.dcm"
            words = [str(folder / "segments.seg.nrrd"), str(folder / "series"), "-o", str(result), *made_by]
            yield from self._run(["to-dicom", *words])
            add_to_database(database, result)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        text = _("{name} is in Slicer's DICOM database now, as a segmentation of its series.")
        self.tell(text.format(name=node.GetName()), "note")

    def _run(self, words: Sequence[str]) -> Iterator[object]:
        """A command of the library until it has ended. Raises JobError with what it printed where it failed."""
        with tempfile.TemporaryFile() as output:
            process = self._section.panel.environment.start_command(words, output)
            try:
                while process.poll() is None:
                    yield WAITING
            finally:
                _end_process(process)
            output.seek(0)
            text = output.read().decode("utf-8", errors="replace").strip()
        if process.returncode:
            message = _("The result was not saved as DICOM: {reason}")
            raise JobError(message.format(reason=text[-LONGEST_REASON:]))


def _end_process(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        end_process_tree(process.pid, force=True)


def _made_by(node: SegmentationNode, volume: VolumeNode) -> Generator[None, None, list[str]]:
    """Options that say which model made the segments, and whether somebody corrected them; compared in pieces."""
    origin = origin_of(node)
    if origin is None or not origin.model:
        return []
    row = CaseRow(name=node.GetName(), volumes=(volume,), segmentation=node, region="corrected")
    try:
        for _voxels in compare(row):
            yield
        corrected = changed_part(row) is not None
    except DataError:  # it cannot be told: what may have been corrected is not called the model's alone
        corrected = True
    return ["--algorithm", model_name(Path(origin.model)), *(["--corrected"] if corrected else [])]


def _write_segments(node: SegmentationNode, volume: VolumeNode, path: Path) -> None:
    """All segments, with names, colours and codes, on the voxels of the volume. Raises DataError or StorageError."""
    classes = find_classes([CaseRow(name=node.GetName(), volumes=(volume,), segmentation=node)], {})
    if not classes:
        raise DataError(_("{name} has no segments.").format(name=node.GetName()))
    export_layers(node, volume, classes, path)
