"""A model applied to volumes of the scene: their export, a job in another process, and its results back.

The job folder remembers in ``scene.json`` which volume each case is, so that results find their volume under another
name, after Slicer was closed, or in a scene that was saved and loaded again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import ApplyConfig
from MedSegTrainerLib.duration import format_duration
from MedSegTrainerLib.errors import DataError, JobError, MedSegError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerLib.results_file import RESULTS, read_results
from MedSegTrainerUI.apply.likely_dice import file_stamp, remember_likely
from MedSegTrainerUI.jobs.job_list import JobList, case_names
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.jobs.stop_request import StopRequest
from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.models.recorded_classes import classes_record, recorded_classes
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.found_volume import ENTRY_KEYS, find_volume, volume_entry
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin, origin_of
from MedSegTrainerUI.scene.uncertainty_view import remember_map
from MedSegTrainerUI.scene.volumes import export_channel, export_volume
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode

RECORD = "scene.json"
SUFFIX = ".seg.nrrd"
CASE_KEYS = ENTRY_KEYS | {"imported"}
FINISHED_KEPT = 5  # jobs whose results are in the scene; of older ones the copies of what the model drew are left
COPIES_KEPT = 100  # jobs of which these are left; older ones are deleted where the scene has none of their results


@dataclass(frozen=True, kw_only=True)
class ApplyTask:
    """What to do. cases: the volumes of each, one a channel. output: an existing segmentation (of one case) or None.
    options: further settings of the job."""

    card: ModelCard
    cases: tuple[tuple[VolumeNode, ...], ...]
    output: SegmentationNode = None
    options: Mapping[str, Any] = field(default_factory=dict)


class ApplyRun:
    """A job of kind apply, from its folder alone: one that was just started, or one of an earlier session.

    same_scene: whether the scene is still that in which it was started, so that node IDs mean the same.
    """

    def __init__(self, folder: JobFolder, record: dict[str, Any], *, same_scene: bool = False) -> None:
        self.same_scene = same_scene
        self.folder, self.record = folder, record
        self.watch = JobWatch(folder)
        self.failed: dict[str, str] = {}  # case to why its result could not be imported
        self._stop = StopRequest(self.watch)
        self._cleaned = False
        self._nodes: dict[str, SegmentationNode] = {}  # results that this session imported
        self._stamp: object = None

    @property
    def title(self) -> str:
        """The name of the model."""
        return str(self.record["title"])

    @property
    def volume_names(self) -> list[str]:
        """What the volumes were called when the model was applied."""
        return [case["name"] for case in self.record["cases"].values()]

    @property
    def made(self) -> float:
        """When it was started, in seconds since 1970."""
        try:
            return self.folder.job_file.stat().st_mtime
        except OSError:
            return time.time()

    @property
    def working(self) -> bool:
        """Whether its process lives, or has said things that were not read yet."""
        return self.watch.working or not self.watch.caught_up

    @property
    def cancelled(self) -> bool:
        return self._stop.asked

    def poll(self) -> None:
        """Reads what is new; goes on with a cancellation."""
        self.watch.poll()
        self._stop.poll()
        if not self.working and not self._cleaned:
            self._cleaned = True
            shutil.rmtree(self.folder.path / "data", ignore_errors=True)  # copies of the volumes

    def follow_likely(self) -> bool:
        """Tells the imported results how good they probably are, which the job writes after them; whether it did."""
        stamp = file_stamp(self.results / RESULTS)
        if stamp is None or stamp == self._stamp or not self._nodes:
            return False
        self._stamp = stamp  # first: what cannot be read is told once
        for case in read_results(self.results):
            node = self._nodes.get(case.name)
            if node is not None and node.GetScene() is not None:
                remember_likely(node, case)
        return True

    def cancel(self) -> None:
        """Asks the process to stop; ``poll`` ends it where it does not."""
        self._stop.ask()

    @property
    def results(self) -> Path:
        return self.folder.path / "results"

    def label_file(self, case: str) -> Path:
        return self.results / (case + SUFFIX)

    def _map(self, case: str) -> Path | None:
        file = self.results / "uncertainty" / f"{case}_entropy.nrrd"
        return file if file.exists() else None

    def waiting(self) -> list[str]:
        """Cases whose result is there and is not in the scene yet."""
        return [
            case
            for case, entry in self.record["cases"].items()
            if not entry["imported"] and self.label_file(case).exists()
        ]

    def import_result(self, case: str) -> SegmentationNode:
        """Puts the result of a case under its volume; the segmentation node. Raises MedSegError."""
        entry = self.record["cases"][case]
        try:
            volume = find_volume(entry, same_scene=self.same_scene)
            name = slicer.mrmlScene.GenerateUniqueName(_("{volume} segmentation").format(volume=volume.GetName()))
            channels = [self._channel(one) for one in entry.get("channels", ())]
            classes = recorded_classes(self.record)
            node = import_segments(self.label_file(case), classes, volume, self._output(), name=name)
            mark_result(node, self._origin(case), classes, channels)
        except MedSegError as error:
            self.failed[case] = str(error)
            raise
        self.failed.pop(case, None)
        remember_map(node, self._map(case))
        entry["imported"] = node.GetID()
        self._nodes[case] = node
        self._stamp = None
        atomic.write_json(self.folder.path / RECORD, self.record)
        return node

    def end_text(self) -> tuple[str, str]:
        """How it ended, as a sentence and its severity."""
        outcome = self.watch.outcome or {}
        count = sum(bool(entry["imported"]) for entry in self.record["cases"].values())
        if self.cancelled or outcome.get("kind") == "stopped":
            return _("Cancelled. {done} of {all} volumes were segmented.").format(
                done=count, all=len(self.record["cases"])
            ), "note"
        if outcome.get("kind") == "failed":
            return str(outcome["message"]), "error"
        if outcome.get("kind") != "finished":
            return _(
                "The process ended without a word. Test the environment in section 5, then apply the model again; "
                "{log} may tell more."
            ).format(log=self.folder.log_file), "error"
        warned = [str(event["message"]) for event in self.watch.warnings]
        done = _("Segmented: {names}.").format(names=", ".join(self.volume_names))
        return " ".join([done, *warned]), "warning" if warned else "note"

    def _channel(self, entry: Mapping[str, Any]) -> VolumeNode:
        """A further volume of a case; None where it is gone, which the result does not need."""
        with suppress(DataError):
            return find_volume(entry, same_scene=self.same_scene)
        return None

    def _origin(self, case: str) -> Origin:
        return Origin(
            model=str(self.record["model"]),
            job=self.folder.path.name,
            case=case,
            prediction=str(self.label_file(case)),
        )

    def _output(self) -> SegmentationNode:
        """The segmentation that was chosen; None for a new one, and where another scene was opened meanwhile."""
        node = (
            slicer.mrmlScene.GetNodeByID(self.record["output"]) if self.record["output"] and self.same_scene else None
        )
        return node if node is not None and node.IsA("vtkMRMLSegmentationNode") else None


def start_run(panel: PanelView, task: ApplyTask) -> ApplyRun:
    """Exports the volumes and starts the job; where that fails nothing is left behind. Raises MedSegError."""
    remove_finished(panel.jobs)
    names = case_names([volumes[0].GetName() for volumes in task.cases])
    title = model_name(task.card.path)
    folder = panel.jobs.new(f"apply-{title}-{names[0]}")
    data = folder.path / "data"
    files = {
        name: [data / f"{name}_{channel:04d}.nrrd" for channel in range(len(volumes))]
        for name, volumes in zip(names, task.cases, strict=True)
    }
    record = {
        "model": str(task.card.path),
        "title": title,
        "classes": classes_record(task.card.classes),
        "output": task.output.GetID() if task.output is not None else "",
        "cases": {
            name: {
                **volume_entry(volumes[0]),
                "imported": "",
                "channels": [volume_entry(volume) for volume in volumes[1:]],
            }
            for name, volumes in zip(names, task.cases, strict=True)
        },
    }
    config = ApplyConfig(
        model=str(task.card.path),
        cases={name: [str(file) for file in group] for name, group in files.items()},
        output_dir=str(folder.path / "results"),
        device=panel.environment.device,
        **task.options,
    )
    try:
        folder.create(config)
        atomic.write_json(folder.path / RECORD, record)
        for volumes, group in zip(task.cases, files.values(), strict=True):
            export_volume(volumes[0], group[0])
            for volume, file in zip(volumes[1:], group[1:], strict=True):
                export_channel(volume, volumes[0], file)
        process = panel.environment.start(folder)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    run = ApplyRun(folder, record, same_scene=True)
    run.watch.expect_start(process)
    return run


def find_runs(jobs: JobList) -> list[ApplyRun]:
    """Earlier jobs that still run, or whose results are not all in the scene, newest first."""
    runs = []
    for folder in jobs.all():
        record = _read_record(folder)
        if record is None:
            continue
        if all(entry["imported"] for entry in record["cases"].values()) and not folder.status().is_alive():
            continue  # quickly: there may be many
        run = ApplyRun(folder, record)
        run.poll()
        if run.watch.working or run.waiting():
            runs.append(run)
    return runs


def remove_finished(jobs: JobList) -> None:
    """Of all but the newest jobs whose results are in the scene the copies of what the model drew are kept alone, by
    which it is known what was corrected; of very many the oldest are deleted."""
    kept = 0
    in_scene = {
        origin.job for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if (origin := origin_of(node))
    }
    for folder in jobs.all():
        record = _read_record(folder)
        if record is None or not all(entry["imported"] for entry in record["cases"].values()):
            continue
        kept += 1
        if kept <= FINISHED_KEPT or folder.status().is_alive():
            continue
        if kept > COPIES_KEPT and folder.path.name not in in_scene:
            shutil.rmtree(folder.path, ignore_errors=True)
        else:
            _keep_copies(folder)


def _keep_copies(folder: JobFolder) -> None:
    """Deletes all else that is large."""
    kept = {folder.job_file, folder.status_file, folder.path / RECORD, folder.path / "results"}
    for path in [*folder.path.iterdir(), *(folder.path / "results").glob("*")]:
        if path in kept or path.name.endswith(SUFFIX):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _read_record(folder: JobFolder) -> dict[str, Any] | None:
    """None for jobs of another kind."""
    if not (folder.path / RECORD).exists():
        return None
    try:
        record = read_json_file(folder.path / RECORD, JobError)
        complete = {"model", "title", "classes", "output"} <= record.keys() and all(
            case.keys() >= CASE_KEYS for case in record["cases"].values()
        )
        return record if complete else None
    except (OSError, JobError, KeyError, TypeError, AttributeError):
        return None


def progress_text(watch: JobWatch, stopping: bool) -> str:
    """What the bar of a run says."""
    if stopping:
        return _("stopping")
    if watch.progress <= 0:
        return _("starting")
    eta = watch.eta_seconds
    return "%p %" if eta is None else _("{time} left").format(time=format_duration(eta))
