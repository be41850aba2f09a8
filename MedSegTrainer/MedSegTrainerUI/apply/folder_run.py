"""A model applied to the images of a folder, or to series of the DICOM database: a job whose results stay on the disk.

What the library made before in the same output folder is not made again, so that a run that was stopped goes on where
it was. Series are linked into the job's folder first, a piece at a time, since a database keeps them anywhere.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import ApplyConfig
from MedSegTrainerLib.errors import JobError, MedSegError, StorageError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerLib.results_file import RESULTS, CaseResult, read_results
from MedSegTrainerUI.apply.likely_dice import file_stamp
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.jobs.prepared_job import PreparedJob
from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.models.recorded_classes import classes_record
from MedSegTrainerUI.panel_view import PanelView

RECORD = "many.json"
BESIDE = "nrrd"  # the library's folder for what Slicer opens where results are DICOM
COPIES = "results"  # of results that were loaded, by which it is told what was corrected since
RECORD_KEYS = {"title", "model", "classes", "source", "output", "series"}
LINK_SECONDS = 0.015  # a piece of the work that is done between two clicks of the user
FINISHED_KEPT = 3


@dataclass(frozen=True, kw_only=True)
class FolderTask:
    """What to do. folder: with images, or None. series: case name to the UID of a DICOM series. files: case name and
    files of each of them, looked up when it is its turn. options: further settings of the job."""

    card: ModelCard
    output: Path
    output_format: str = "seg.nrrd"
    folder: Path | None = None
    series: Mapping[str, str] = field(default_factory=dict)
    files: Iterable[tuple[str, list[Path]]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


class FolderRun:
    """A job of kind apply on many images, from its folder alone; while it is made ready, series are being linked."""

    def __init__(self, folder: JobFolder, record: dict[str, Any], links: Iterator[None] | None = None) -> None:
        self.folder, self.record = folder, record
        self.job = PreparedJob(folder, links, LINK_SECONDS)
        self.watch = self.job.watch
        self.results: list[CaseResult] = []
        self._stamp: object = None
        self._cleaned = False

    @property
    def title(self) -> str:
        """The name of the model."""
        return str(self.record["title"])

    @property
    def output(self) -> Path:
        return Path(self.record["output"])

    def poll(self, panel: PanelView) -> bool:
        """Goes on with what there is to do; whether the results are others. Raises MedSegError, and has ended then."""
        was_preparing = self.job.preparing
        self.job.poll(panel.environment.start)
        if was_preparing:
            return False
        if not self.job.working and not self._cleaned:
            self._cleaned = True
            shutil.rmtree(self.folder.path / "data", ignore_errors=True)  # links to series
        return self.read()

    def read(self) -> bool:
        """Reads the results where they have changed since. Raises UsageError."""
        stamp = file_stamp(self.output / RESULTS)
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp  # first: what cannot be read is told once
        self.results = read_results(self.output)
        return True

    def end_text(self) -> tuple[str, str]:
        """How it ended, as a sentence and its severity."""
        outcome = self.watch.outcome or {}
        failed = sum(bool(case.error) for case in self.results)
        done = len(self.results) - failed
        if self.job.stopping or outcome.get("kind") == "stopped":
            text = _("Stopped: {done} segmented. Apply to all goes on with the others.")
            return text.format(done=done), "note"
        if failed and outcome.get("kind") in ("failed", "finished"):
            text = _("{done} segmented, {failed} not: the table says why. The others are in {folder}.")
            return text.format(done=done, failed=failed, folder=self.output), "warning"
        if outcome.get("kind") == "failed":
            return str(outcome["message"]), "error"
        if outcome.get("kind") != "finished":
            text = _(
                "The process ended without a word. Test the environment in section 5, then press Apply to all: it goes "
                "on where it was; {log} may tell more."
            )
            return text.format(log=self.folder.log_file), "error"
        return _("{done} segmented, in {folder}.").format(done=done, folder=self.output), "note"


def is_dicom(output_format: str) -> bool:
    """Whether results are DICOM segmentations, which Slicer does not open by itself."""
    return output_format.startswith("dicom")


def start_folder_run(panel: PanelView, task: FolderTask) -> FolderRun:
    """Starts the job, or begins to link the series that it is about. Raises MedSegError; nothing is left then."""
    _remove_finished(panel.jobs)
    title = model_name(task.card.path)
    folder = panel.jobs.new(f"apply-{title}-{task.folder.name if task.folder else 'DICOM'}")
    record = {
        "title": title,
        "model": str(task.card.path),
        "classes": classes_record(task.card.classes),
        "source": str(task.folder or ""),
        "output": str(task.output),
        "series": dict(task.series),
    }
    config = ApplyConfig(
        model=str(task.card.path),
        inputs=[str(task.folder)] if task.folder else [],
        cases={name: [str(folder.path / "data" / name)] for name in task.series},
        output_dir=str(task.output),
        output_format=task.output_format,
        device=panel.environment.device,
        nrrd_beside=is_dicom(task.output_format),
        **task.options,
    )
    run = FolderRun(folder, record, link_series(task.files, folder.path / "data") if task.series else None)
    try:
        folder.create(config)
        atomic.write_json(folder.path / RECORD, record)
        if not task.series:
            run.watch.expect_start(panel.environment.start(folder))
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return run


def find_folder_run(jobs: JobList) -> FolderRun | None:
    """The newest of earlier jobs, which may still run; None where there is none."""
    for folder in jobs.all():
        record = _read_record(folder)
        if record is None:
            continue
        run = FolderRun(folder, record)
        run.watch.poll()
        if run.watch.state == "created":  # Slicer was closed while series were linked
            continue
        try:
            run.read()
        except MedSegError:
            continue
        return run
    return None


def link_series(files: Iterable[tuple[str, list[Path]]], data: Path) -> Iterator[None]:
    """Links the files of each case into a folder of its name, or copies them where the disk is another one.

    Names are numbers in the order of the paths: the same series is known again by them. Raises StorageError.
    """
    for name, group in files:
        target = data / name
        with atomic.storage_errors(target):
            target.mkdir(parents=True)
        for number, file in enumerate(sorted(group), start=1):
            place = target / f"{number:06d}.dcm"
            try:
                os.link(file, place)
            except FileNotFoundError:
                text = _("{path} is in the DICOM database, and not on the disk. Import the series again.")
                raise StorageError(text.format(path=file)) from None
            except OSError:
                with atomic.storage_errors(place):
                    shutil.copy2(file, place)
            yield


def _remove_finished(jobs: JobList) -> None:
    """Deletes all but the newest jobs; their results lie elsewhere and stay."""
    ended = [one for one in jobs.all() if _read_record(one) is not None and not one.status().is_alive()]
    for folder in ended[FINISHED_KEPT:]:
        if not (folder.path / COPIES).exists():
            shutil.rmtree(folder.path, ignore_errors=True)


def _read_record(folder: JobFolder) -> dict[str, Any] | None:
    """None for jobs of another kind."""
    if not (folder.path / RECORD).exists():
        return None
    try:
        record = read_json_file(folder.path / RECORD, JobError)
        return record if record.keys() >= RECORD_KEYS else None
    except (OSError, JobError, AttributeError):
        return None
