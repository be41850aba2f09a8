"""A job of kind ``suggest``: a model looks at images, and says which slices of them should be drawn next."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import DrawnSlices, SuggestConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import DataError, UsageError, did_you_mean, some
from MedSegTrainerLib.events import CaseDone, Stage, Suggested, Warned
from MedSegTrainerLib.hardware.device import choose_device, describe
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.not_finite import with_padding_filled
from MedSegTrainerLib.imaging.read import file_stamps, read_channels
from MedSegTrainerLib.imaging.write import write_volume
from MedSegTrainerLib.inference.canvas import Prepared
from MedSegTrainerLib.inference.postprocess_search import cleaned_up
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import UNCERTAINTY_FOLDER, MapSelection, Prediction
from MedSegTrainerLib.inference.result_files import write_result
from MedSegTrainerLib.job import STOP_NOW, Outcome
from MedSegTrainerLib.jobs.apply import failure_text
from MedSegTrainerLib.jobs.apply_inputs import Input, find_inputs
from MedSegTrainerLib.jobs.apply_record import BY_HAND, ApplyRecord, model_checksum, recipe
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.image_progress import UNITS_PER_CASE, image_progress
from MedSegTrainerLib.jobs.pipeline import StopAskedError, overlapped
from MedSegTrainerLib.jobs.suggestions import LookedAt, remove_suggestions, write_suggestions
from MedSegTrainerLib.model.data_profile import combine, unlike_training
from MedSegTrainerLib.model.lineage import lineage
from MedSegTrainerLib.model.package import load_members
from MedSegTrainerLib.model.postprocessing import agreed, from_json
from MedSegTrainerLib.suggestion.case_slices import case_slices, choose_axis
from MedSegTrainerLib.suggestion.choose import choose
from MedSegTrainerLib.suggestion.rankings import sees_anything
from MedSegTrainerLib.suggestion.words import nothing_seen_text

logger = logging.getLogger(__name__)

PREDICTION_FOLDER = "predictions"
MAPS = MapSelection(uncertainty=True, slice_sums=True)
STEPS = 1000  # of an uncertainty from 0 to 1: files with fewer different numbers are smaller


@dataclass(frozen=True, kw_only=True)
class Task:
    """An image with the files that are made of it."""

    item: Input
    label_map: Path
    uncertainty: Path


def run_suggest(config: SuggestConfig, context: JobContext) -> Outcome:
    """Looks at every image and writes ``suggestions.json`` and ``suggestions.html``, and beside them the prediction and
    the uncertainty of each image. Raises MedSegError at the end when any failed, after the others were suggested of."""
    packages = [member for path in (config.model, *config.models) for member in load_members(Path(path))]
    inputs = find_inputs([Path(name) for name in config.inputs], packages[0].plan.channel_names)
    inputs += [Input(name=name, files=tuple(map(Path, files))) for name, files in config.cases.items()]
    _refuse_unknown(config, inputs)
    device, warning = choose_device(config.device)
    predictor = Predictor(packages, device, warn=lambda message: context.emit(Warned(message=message)))
    logger.info("%d models on %s", len(packages), describe(device))
    if warning:
        context.emit(Warned(message=warning))
    output = Path(config.output_dir)
    record = ApplyRecord(output)
    tasks = [
        Task(
            item=item,
            label_map=output / PREDICTION_FOLDER / f"{item.name}.seg.nrrd",
            uncertainty=output / UNCERTAINTY_FOLDER / f"{item.name}.nii.gz",
        )
        for item in inputs
    ]
    _refuse_to_overwrite(tasks, record)
    remove_suggestions(record)
    message = f"Looking at images ({len(tasks)})"
    context.emit(Stage(name="suggest", message=message, total=len(tasks) * UNITS_PER_CASE))
    context.owner.update(state="running", stage="suggest")
    work = _Work(config, predictor, record, context, len(tasks))
    failures, count = work.all_of(tasks)
    suggested = _suggest(config, predictor, work.looked_at, record, context)
    if count < len(tasks):
        message = f"Stopped after {count} of {len(tasks)} images. {suggested}"
        return Outcome(message=message, result=config.output_dir, stopped=STOP_NOW)
    if failures:
        raise DataError(
            f"{len(failures)} of {len(tasks)} images could not be looked at. {suggested}\n" + "\n".join(failures)
        )
    return Outcome(message=suggested, result=config.output_dir)


class _Work:
    """Reading, predicting and writing of one image after the other; ``looked_at`` grows."""

    def __init__(
        self, config: SuggestConfig, predictor: Predictor, record: ApplyRecord, context: JobContext, total: int
    ) -> None:
        self.config, self.predictor, self.record, self.context, self.total = config, predictor, record, context, total
        self.data = combine([package.data for package in predictor.packages])
        self.cleanings = agreed([from_json(package.postprocessing) for package in predictor.packages])
        self.models = [model_checksum(package) for package in predictor.packages]
        self.looked_at: list[LookedAt] = []
        self.next_index, self.started = 0, time.monotonic()

    def all_of(self, tasks: Sequence[Task]) -> tuple[list[str], int]:
        """Messages of what failed, and how many tasks were dealt with; fewer than given where a stop was asked."""
        failures, count = [], 0
        for done in overlapped(tasks, self.read, self.predict, self.write):
            count += 1
            item, output = done.item.item, done.item.label_map
            if done.error is None:
                self.context.emit(CaseDone(name=item.name, output=str(output), seconds=round(done.seconds, 2)))
                continue
            reason = failure_text(done.error, self.context.folder)
            failures.append(reason if str(item.files[0]) in reason else f"{item.files[0]}: {reason}")
            self.context.emit(CaseDone(name=item.name, error=failures[-1]))
        return failures, count

    def read(self, task: Task) -> tuple[Prepared, list[str], list[str]]:
        """The image as the networks see it, what to warn of, and in what it is unlike the images of the training."""
        channels = read_channels(task.item.files)
        self.predictor.refuse_other_channels(channels)
        channels, filled = with_padding_filled(task.item.files, channels)
        unlike = unlike_training(channels, self.predictor.plan, self.data)
        return self.predictor.prepare(channels), [f"{task.item.name}: {filled}"] if filled else [], unlike

    def predict(self, task: Task, content: tuple[Prepared, list[str], list[str]]) -> tuple[Prediction, list[str]]:
        prepared, warnings, unlike = content
        if self.context.folder.stop_requested():
            raise StopAskedError
        for message in warnings:
            self.context.emit(Warned(message=message))
        on_window = image_progress(self.context, self.next_index, self.total, self.started)
        self.next_index += 1
        return self.predictor.segment(prepared, on_window, MAPS), unlike

    def write(self, task: Task, content: tuple[Prediction, list[str]]) -> None:
        prediction, unlike = content
        assert prediction.entropy is not None and prediction.slice_sums is not None
        plan, image = self.predictor.plan, task.item.files[0]
        labels = cleaned_up(prediction.labels, self.cleanings, overlapping=plan.overlapping)
        entropy = prediction.to_image(np.rint(STEPS * prediction.entropy.astype(np.float32)) / STEPS)
        drawn = self.config.drawn.get(task.item.name)
        axis = choose_axis(Geometry.of(labels), *_wanted_axis(self.config, drawn, plan))
        slices = case_slices(
            task.item.name,
            axis,
            sitk.GetArrayViewFromImage(labels),
            sitk.GetArrayViewFromImage(entropy),
            prediction.slice_sums[axis.name],
            [item.value for item in plan.classes],
            drawn.slices if drawn else (),
            unlike,
            overlapping=plan.overlapping,
        )
        self.record.begin([task.uncertainty])
        write_volume(entropy, task.uncertainty, image)
        write_result(labels, task.label_map, plan, image)
        stamps = [stamp for file in task.item.files for stamp in file_stamps(file)]
        self.record.add(task.label_map, [task.uncertainty], recipe(self.models, {"suggest": True}, stamps))
        self.looked_at.append(
            LookedAt(item=task.item, slices=slices, label_map=task.label_map, uncertainty=task.uncertainty)
        )


def _suggest(
    config: SuggestConfig,
    predictor: Predictor,
    looked_at: Sequence[LookedAt],
    record: ApplyRecord,
    context: JobContext,
) -> str:
    """Chooses, writes and tells; returns what it came to in a sentence."""
    if not looked_at:
        return "No image was looked at, and nothing is suggested."
    cases, plan = [one.slices for one in looked_at], predictor.plan
    rounds = min(len(lineage(package.training)) for package in predictor.packages)
    picks = choose(cases, config.ranking, config.count, config.seed, rounds)
    notes = [] if sees_anything(cases) else [nothing_seen_text(config.ranking)]
    if len(picks) < config.count:
        notes.append(f"{len(picks)} slices are suggested, not {config.count}: no more are there that nobody has drawn.")
    for note in notes:
        context.emit(Warned(message=note))
    document = write_suggestions(config, plan, looked_at, picks, notes, record)
    for item in document["suggestions"]:
        context.emit(Suggested(case=item["case"], axis=item["axis"], slice=item["slice"], message=item["text"]))
    return f"{len(picks)} suggestions are in {config.output_dir}"


def _wanted_axis(config: SuggestConfig, drawn: DrawnSlices | None, plan: Plan) -> tuple[str, str | None]:
    """What ``choose_axis`` is asked for; slices of an image stay along the axis along which some are drawn."""
    wanted = drawn.axis if drawn and drawn.slices else config.slice_axis
    return wanted, plan.axes[0] if plan.dims == 2 else None


def _refuse_unknown(config: SuggestConfig, inputs: Sequence[Input]) -> None:
    """Raises UsageError where nothing is to be looked at, or slices of an image are drawn that is not there."""
    names = [item.name for item in inputs]
    if not names:
        raise UsageError("There is no image to look at. Give images, or folders of images.")
    unknown = sorted(config.drawn.keys() - set(names))
    if unknown:
        raise UsageError(
            f"Slices are said to be drawn in {some(unknown)}, and no image has this name."
            f"{did_you_mean(unknown[0], names)}"
        )


def _refuse_to_overwrite(tasks: Sequence[Task], record: ApplyRecord) -> None:
    """Raises UsageError where a prediction was corrected by hand, or is none of ours."""
    by_hand = [task.label_map for task in tasks if record.state(task.label_map, [task.uncertainty], "") == BY_HAND]
    if by_hand:
        raise UsageError(
            f"{len(by_hand)} of {len(tasks)} predictions are there already and stay as they are (first: {by_hand[0]}): "
            "'suggest' did not make them, or somebody changed them since. Choose another output folder, or move them "
            "away."
        )
