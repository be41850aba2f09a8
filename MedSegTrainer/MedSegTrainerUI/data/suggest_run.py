"""A job that says which slices of volumes of the scene should be drawn next: their export, the job, and its answer."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import SuggestConfig
from MedSegTrainerLib.config.job_settings import DrawnSlices
from MedSegTrainerLib.errors import DataError, JobError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.jobs.job_list import JobList, case_names
from MedSegTrainerUI.jobs.prepared_job import PreparedJob
from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.models.recorded_classes import classes_record, recorded_classes
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.drawn_slices import SliceNumbers
from MedSegTrainerUI.scene.found_volume import ENTRY_KEYS, find_volume, volume_entry
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin, origin_of
from MedSegTrainerUI.scene.uncertainty_view import remember_map
from MedSegTrainerUI.scene.volumes import export_channel, export_volume
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode

RECORD = "suggest.json"
SUGGESTIONS = "suggestions.json"
COUNT = 10
FINISHED_KEPT = 3


@dataclass(frozen=True, kw_only=True)
class Unlabelled:
    """What is to be looked at: the volumes of a case, one a channel, and the slices that are drawn already."""

    volumes: tuple[VolumeNode, ...]
    drawn: SliceNumbers | None = None


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A slice that is worth drawing. slice: as in ``SliceNumbers``; center: mm (RAS) in the frame of the volume."""

    case: str
    axis: str
    slice: int
    center: tuple[float, float, float]
    text: str
    prediction: Path
    uncertainty: Path


class SuggestRun:
    """A job of kind suggest, from its folder alone; while it is made ready, volumes are being exported.

    same_scene: whether the scene is still that in which it was started, so that node IDs mean the same.
    """

    def __init__(self, folder: JobFolder, record: dict[str, Any], exports: Iterator[None] | None = None) -> None:
        self.folder, self.record = folder, record
        self.same_scene = exports is not None
        self.job = PreparedJob(folder, exports)
        self.watch = self.job.watch

    @property
    def title(self) -> str:
        """The name of the model."""
        return str(self.record["title"])

    def volume_name(self, case: str) -> str:
        return str(self.record["cases"][case]["name"])

    def suggestions(self) -> list[Suggestion]:
        """The answer, best first. Raises MedSegError where there is none."""
        shutil.rmtree(self.folder.path / "data", ignore_errors=True)
        outcome: Mapping[str, Any] = self.watch.outcome or {}
        if outcome.get("kind") in ("failed", "stopped"):
            raise DataError(str(outcome["message"]))
        results = self.folder.path / "results"
        try:
            document = read_json_file(results / SUGGESTIONS, JobError)
            found = [_suggestion(item, results) for item in document["suggestions"]]
            return [one for one in found if one.case in self.record["cases"]]
        except (OSError, JobError, KeyError, TypeError, ValueError, AttributeError):
            text = _("It ended without a word. Test the environment in section 5, then try again; {log} may tell more.")
            raise JobError(text.format(log=self.folder.log_file)) from None

    def volumes(self, case: str) -> list[VolumeNode]:
        """The volumes of a case, in the scene. Raises DataError where they are not."""
        entry = self.record["cases"][case]
        return [find_volume(one, same_scene=self.same_scene) for one in (entry, *entry["channels"])]

    def prediction(self, suggestion: Suggestion) -> SegmentationNode:
        """What the model drew, as a segmentation that knows that a model drew it; once for each case."""
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            origin = origin_of(node)
            if origin is not None and (origin.job, origin.case) == (self.folder.path.name, suggestion.case):
                return node
        volume, *channels = self.volumes(suggestion.case)
        name = slicer.mrmlScene.GenerateUniqueName(_("{volume} segmentation").format(volume=volume.GetName()))
        classes = recorded_classes(self.record)
        node = import_segments(suggestion.prediction, classes, volume, name=name)
        origin = Origin(
            model=str(self.record["model"]),
            job=self.folder.path.name,
            case=suggestion.case,
            prediction=str(suggestion.prediction),
        )
        mark_result(node, origin, classes, channels)
        remember_map(node, suggestion.uncertainty)
        return node


def start_suggest_run(panel: PanelView, card: ModelCard, cases: Sequence[Unlabelled]) -> SuggestRun:
    """Begins to export; the job starts when all is there. Raises MedSegError; nothing is left then."""
    _remove_finished(panel.jobs)
    names = case_names([one.volumes[0].GetName() for one in cases])
    title = model_name(card.path)
    folder = panel.jobs.new(f"suggest-{title}")
    files = [
        [folder.path / "data" / f"{name}_{channel:04d}.nrrd" for channel in range(len(one.volumes))]
        for name, one in zip(names, cases, strict=True)
    ]
    record = {"model": str(card.path), "title": title, "classes": classes_record(card.classes), "cases": {}}
    config = SuggestConfig(
        model=str(card.path),
        cases={name: [str(file) for file in group] for name, group in zip(names, files, strict=True)},
        output_dir=str(folder.path / "results"),
        count=COUNT,
        drawn={
            name: DrawnSlices(axis=one.drawn.axis, slices=list(one.drawn.numbers))  # type: ignore[arg-type]
            for name, one in zip(names, cases, strict=True)
            if one.drawn is not None
        },
        device=panel.environment.device,
    )
    run = SuggestRun(folder, record, _export(record, names, cases, files, folder))
    try:
        folder.create(config)
    except BaseException:
        run.job.forget()
        raise
    return run


def find_suggest_run(jobs: JobList) -> SuggestRun | None:
    """The newest of earlier jobs, which may still run; None where there is none."""
    for folder in jobs.all():
        record = _read_record(folder)
        if record is not None:
            run = SuggestRun(folder, record)
            run.watch.poll()
            if run.watch.state != "created":
                return run
    return None


def _export(
    record: dict[str, Any],
    names: Sequence[str],
    cases: Sequence[Unlabelled],
    files: Sequence[Sequence[Path]],
    folder: JobFolder,
) -> Iterator[None]:
    """One volume at a time; the record is written at the end."""
    for name, one, group in zip(names, cases, files, strict=True):
        if any(volume.GetScene() is None for volume in one.volumes):
            raise DataError(_("A volume was removed from the scene. Ask for suggestions again."))
        export_volume(one.volumes[0], group[0])
        yield
        for volume, file in zip(one.volumes[1:], group[1:], strict=True):
            export_channel(volume, one.volumes[0], file)
            yield
        first, *others = map(volume_entry, one.volumes)
        record["cases"][name] = {**first, "channels": others}
    atomic.write_json(folder.path / RECORD, record)


def _remove_finished(jobs: JobList) -> None:
    """Deletes old jobs; those whose predictions are in the scene hold the copies by which corrections are told."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    in_scene = {origin.job for node in nodes if (origin := origin_of(node)) is not None}
    ended = [one for one in jobs.all() if _read_record(one) is not None and not one.status().is_alive()]
    for folder in ended[FINISHED_KEPT:]:
        if folder.path.name not in in_scene:
            shutil.rmtree(folder.path, ignore_errors=True)


def _suggestion(item: Mapping[str, Any], results: Path) -> Suggestion:
    x, y, z = (float(value) for value in item["center_ras"])
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError(item["center_ras"])
    return Suggestion(
        case=str(item["case"]),
        axis=str(item["axis"]),
        slice=int(item["slice"]),
        center=(x, y, z),
        text=str(item["text"]),
        prediction=results / str(item["prediction"]),
        uncertainty=results / str(item["uncertainty"]),
    )


def _read_record(folder: JobFolder) -> dict[str, Any] | None:
    """None for jobs of another kind."""
    if not (folder.path / RECORD).exists():
        return None
    try:
        record = read_json_file(folder.path / RECORD, JobError)
        complete = {"model", "title", "classes"} <= record.keys() and all(
            case.keys() >= ENTRY_KEYS | {"channels"} for case in record["cases"].values()
        )
        return record if complete else None
    except (OSError, JobError, KeyError, TypeError, AttributeError):
        return None
