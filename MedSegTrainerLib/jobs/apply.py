"""A job of kind ``apply``: models on files or folders of images, one label map for each, and maps where wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.result_formats import RESULT_FORMATS, ResultFormat
from MedSegTrainerLib.data.checks.hot_voxels import clipping_text
from MedSegTrainerLib.data.checks.laterality import why_not_mirror
from MedSegTrainerLib.data.layouts.bids_sidecar import sidecar_of
from MedSegTrainerLib.errors import DataError, MedSegError, UsageError, system_error_text
from MedSegTrainerLib.events import CaseDone, Stage, Warned
from MedSegTrainerLib.hardware.device import choose_device, describe, devices_of_models
from MedSegTrainerLib.hardware.memory import is_out_of_memory
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import refuse_several_slices
from MedSegTrainerLib.imaging.nifti_checks import NIFTI_SUFFIXES
from MedSegTrainerLib.imaging.not_finite import with_padding_filled
from MedSegTrainerLib.imaging.overlapping_results import refuse_one_number
from MedSegTrainerLib.imaging.qform_sform import forms_apart
from MedSegTrainerLib.imaging.read import file_stamps, read_channels
from MedSegTrainerLib.imaging.source_planes import SourcePlanes, source_planes
from MedSegTrainerLib.imaging.write_dicom_seg import Maker, refuse_unwritable
from MedSegTrainerLib.inference.bids_results import (
    bids_place,
    describe_results,
    refuse_equal_places,
    refuse_other_data_set,
    refuse_overlapping,
    write_sidecar,
)
from MedSegTrainerLib.inference.canvas import Prepared
from MedSegTrainerLib.inference.class_by_class import each_class
from MedSegTrainerLib.inference.postprocess import clean_up
from MedSegTrainerLib.inference.postprocess_search import cleaned_up
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import MapSelection, Prediction, map_files, write_maps
from MedSegTrainerLib.inference.result_files import write_dicom_result, write_result
from MedSegTrainerLib.inference.tta import choose_transforms
from MedSegTrainerLib.job import STOP_NOW, JobFolder, Outcome
from MedSegTrainerLib.jobs.apply_inputs import Input, find_inputs
from MedSegTrainerLib.jobs.apply_record import ABSENT, BY_HAND, SAME, ApplyRecord, model_checksum, recipe
from MedSegTrainerLib.jobs.apply_results import ApplyResults, case_figures, class_results, likely_by_value
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.image_progress import UNITS_PER_CASE, image_progress
from MedSegTrainerLib.jobs.pipeline import StopAskedError, overlapped
from MedSegTrainerLib.model.data_profile import combine, unlike_text, unlike_training
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerLib.model.likely_dice import from_json as points_from_json
from MedSegTrainerLib.model.likely_dice import joined_points
from MedSegTrainerLib.model.package import ModelPackage, load_members
from MedSegTrainerLib.model.postprocessing import Cleaning, agreed, from_json, to_json
from MedSegTrainerLib.results_file import FILES, CaseResult

logger = logging.getLogger(__name__)

SIDECAR = "sidecar"  # among the files of a case: what BIDS says of its label map
NRRD = "nrrd"  # the folder for what 3D Slicer opens, beside label maps of other formats


@dataclass(frozen=True, kw_only=True)
class Task:
    """An input with the files it becomes, and the checksum of what they follow from."""

    item: Input
    output: Path
    maps: dict[str, Path]
    recipe: str


def run_apply(config: ApplyConfig, context: JobContext) -> Outcome:
    """Segments every input; one that cannot be read does not keep the others from being done.

    What is there already of the same model and settings is left as it is. Raises MedSegError at the end when any
    failed, after all label maps were written.
    """
    emit = context.emit
    packages = [member for path in (config.model, *config.models) for member in load_members(Path(path))]
    inputs = find_inputs([Path(name) for name in config.inputs], packages[0].plan.channel_names)
    inputs += [Input(name=name, files=tuple(map(Path, files))) for name, files in config.cases.items()]
    device, warning = choose_device(config.device)
    swaps = why_not_mirror(packages[0].plan.class_names)
    transforms, warnings = choose_transforms(config, [package.plan for package in packages], swaps)
    devices, fewer = devices_of_models(device, config.devices, len(packages))
    predictor = Predictor(
        packages,
        devices[0],
        overlap=config.overlap,
        transforms=transforms,
        devices=devices,
        warn=lambda message: emit(Warned(message=message)),
    )
    logger.info("%d models on %s", len(packages), ", ".join(map(describe, devices)))
    cleanings = agreed([from_json(package.postprocessing) for package in packages]) if config.postprocess else []
    record = ApplyRecord(Path(config.output_dir))
    tasks = _tasks(config, inputs, predictor, cleanings)
    left = _refuse_to_overwrite(tasks, record, config.overwrite)
    tables = [record.folder / name for name in FILES]
    record.refuse_others(tables)
    if config.uncertainty and predictor.result_count == 1:
        warnings.append("One model without --tta has no spread: of the uncertainty only the entropy is written.")
    for message in filter(None, (warning, fewer, *warnings, *_differences(packages))):
        emit(Warned(message=message))
    work = _Work(config, predictor, cleanings, record, context, len(left))
    record.begin(tables)
    if RESULT_FORMATS[config.output_format].is_bids:
        images = [task.item.files[0] for task in tasks]
        describe_results(record.folder, model_name(Path(config.model)), predictor.plan.classes, images)
    emit(Stage(name="apply", message=_announced(len(tasks), len(left), cleanings), total=len(left) * UNITS_PER_CASE))
    context.owner.update(state="running", stage="apply")
    for task in tasks:
        if task not in left:
            work.tell(record.result(task.output) or _unknown(task), str(task.output))
    failures, done = work.all_of(left)
    work.results.write()
    record.end(tables)
    if done < len(left):
        done_in_all = len(tasks) - len(left) + done
        return Outcome(
            message=f"Stopped after {done_in_all} of {len(tasks)}.", result=config.output_dir, stopped=STOP_NOW
        )
    if failures:
        raise DataError(f"{len(failures)} of {len(tasks)} images were not segmented:\n" + "\n".join(failures))
    return Outcome(message=f"{len(tasks)} label maps are in {config.output_dir}", result=config.output_dir)


def _unknown(task: Task) -> CaseResult:
    """Of a label map that is there, made by a version that said nothing of it."""
    return CaseResult(name=task.item.name, label_map=task.output.name, image=str(task.item.files[0]))


@dataclass(frozen=True, kw_only=True)
class _About:
    """What is known of an image before it is segmented. is_unlike: those of the training. source: what a DICOM
    segmentation refers to, None for other formats."""

    warnings: list[str]
    is_unlike: bool
    source: SourcePlanes | None


class _Work:
    """Reading, predicting and writing of one image after the other, and the progress of it."""

    def __init__(
        self,
        config: ApplyConfig,
        predictor: Predictor,
        cleanings: Sequence[Cleaning],
        record: ApplyRecord,
        context: JobContext,
        total: int,
    ) -> None:
        self.config, self.predictor, self.cleanings, self.record = config, predictor, cleanings, record
        self.folder, self.emit, self.context, self.total = context.folder, context.emit, context, total
        self.maps = MapSelection(probabilities=config.probabilities, uncertainty=config.uncertainty)
        self.data = combine([package.data for package in predictor.packages])
        points = joined_points([package.likely_dice for package in predictor.packages]) if config.likely_dice else {}
        self.points, self.said = points_from_json(points), dict[Path, CaseResult]()
        self.results = ApplyResults(record.folder, record.kept_results())
        self.segmentation = RESULT_FORMATS[config.output_format].segmentation
        self.maker = Maker(name=model_name(Path(config.model)))
        self.next_index, self.started = 0, time.monotonic()

    def all_of(self, tasks: Sequence[Task]) -> tuple[list[str], int]:
        """Messages of what failed, and how many tasks were dealt with; fewer than given where a stop was asked."""
        failures, count = [], 0
        for done in overlapped(tasks, self.read, self.predict, self.write):
            count += 1
            item, output = done.item.item, done.item.output
            if done.error is None:
                self.tell(self.said.pop(output), str(output), round(done.seconds, 2))
                continue
            reason = failure_text(done.error, self.folder)
            failures.append(reason if str(item.files[0]) in reason else f"{item.files[0]}: {reason}")
            self.tell(CaseResult(name=item.name, image=str(item.files[0]), error=failures[-1]))
        return failures, count

    def tell(self, result: CaseResult, output: str | None = None, seconds: float = 0.0) -> None:
        """Writes what is known of an image, and says that it is done, or that it failed."""
        self.results.add(result)
        figures = {key: getattr(result, key) for key in ("likely_dice", "low", "high")}
        self.emit(CaseDone(name=result.name, output=output, seconds=seconds, error=result.error or None, **figures))

    def read(self, task: Task) -> tuple[Prepared, _About]:
        channels = read_channels(task.item.files)
        refuse_several_slices(channels[0].GetSize(), task.output)
        self.predictor.refuse_other_channels(channels)
        channels, filled = with_padding_filled(task.item.files, channels)
        two_placements = _two_placements(task, Geometry.of(channels[0]))
        clipped = clipping_text(channels) if self.predictor.plan.preparation is None else []
        warnings = [f"{task.item.name}: {text}" for text in (filled, *clipped, two_placements) if text]
        unlike = unlike_text(task.item.name, unlike_training(channels, self.predictor.plan, self.data))
        about = _About(
            warnings=[*warnings, *([unlike] if unlike else [])],
            is_unlike=unlike is not None,
            source=self._source(task, Geometry.of(channels[0])),
        )
        return self.predictor.prepare(channels), about

    def _source(self, task: Task, grid: Geometry) -> SourcePlanes | None:
        """What a DICOM segmentation refers to; raises DataError where that is missing, before anything is segmented."""
        return source_planes(task.item.files[0], grid, task.item.files[1:]) if self.segmentation else None

    def predict(self, task: Task, content: tuple[Prepared, _About]) -> tuple[Prediction, _About]:
        prepared, about = content
        if self.folder.stop_requested():
            raise StopAskedError
        for message in about.warnings:
            self.emit(Warned(message=message))
        on_window = image_progress(self.context, self.next_index, self.total, self.started)
        self.next_index += 1
        prediction = self.predictor.segment(
            prepared, on_window, self.maps, self.record.folder, with_agreement=bool(self.points)
        )
        return prediction, about

    def write(self, task: Task, content: tuple[Prediction, _About]) -> None:
        prediction, about = content
        self.record.begin(task.maps.values())
        image = task.item.files[0]
        write_maps(prediction, task.maps, self.predictor.plan.classes, image)
        plan = self.predictor.plan
        labels = cleaned_up(prediction.labels, self.cleanings, overlapping=plan.overlapping)
        labels = cleaned(labels, self.config, plan)
        if SIDECAR in task.maps:
            write_sidecar(task.maps[SIDECAR], task.item.files)
        if NRRD in task.maps:
            write_result(labels, task.maps[NRRD], plan, image)
        if self.segmentation and about.source is not None:
            write_dicom_result(labels, task.output, plan, about.source, self.maker, self.segmentation)
        else:
            write_result(labels, task.output, plan, image)
        likely = likely_by_value(plan.classes, self.points, prediction.agreement, unlike=about.is_unlike)
        result = CaseResult(
            name=task.item.name,
            label_map=task.output.relative_to(self.record.folder).as_posix(),
            image=str(image),
            warnings=about.warnings,
            classes=class_results(labels, image, plan.classes, likely, overlapping=plan.overlapping),
            **case_figures(likely),
        )
        self.record.add(task.output, task.maps.values(), task.recipe, result)
        self.said[task.output] = result


def failure_text(error: Exception, folder: JobFolder) -> str:
    """Why an image was not segmented; of what should not happen, the traceback goes to the log."""
    if isinstance(error, MedSegError):
        return str(error)
    if is_out_of_memory(error):
        return "There is not enough memory for this image. Close other programs, or cut or resample the image."
    if isinstance(error, OSError):
        return system_error_text(error)
    logger.error("An image could not be segmented:", exc_info=error)
    return (
        f"An error that should not happen: {type(error).__name__}: {error}. Please report it with the file "
        f"{folder.log_file}."
    )


def _two_placements(task: Task, grid: Geometry) -> str:
    """What to tell where the image has two places and the format of the label map holds one; '' elsewhere."""
    apart = "" if task.output.name.endswith(NIFTI_SUFFIXES) else forms_apart(task.item.files[0], grid)
    return f"{apart} A result as NIfTI (--format nii.gz) carries both." if apart else ""


def cleaned(labels: sitk.Image, config: ApplyConfig, plan: Plan | None = None) -> sitk.Image:
    """The label map without the specks and holes that the settings name, on the same grid; by its plan the result may
    be ``class_bits`` of classes that overlap."""
    if not (config.largest_component or config.fill_holes or config.minimum_size_mm3):
        return labels
    clean = partial(
        clean_up,
        spacing_zyx=Geometry.of(labels).spacing_zyx,
        largest_component=config.largest_component,
        fill_holes=config.fill_holes,
        minimum_size_mm3=config.minimum_size_mm3,
    )
    array = sitk.GetArrayViewFromImage(labels)
    if plan is not None and plan.overlapping:
        array = each_class(array, [item.value for item in plan.classes], clean)
    else:
        array = clean(array)
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(labels)
    return result


def _tasks(
    config: ApplyConfig, inputs: Sequence[Input], predictor: Predictor, cleanings: Sequence[Cleaning]
) -> list[Task]:
    files = RESULT_FORMATS[config.output_format]
    output = Path(config.output_dir)
    requested_maps = MapSelection(probabilities=config.probabilities, uncertainty=config.uncertainty)
    settings: dict[str, Any] = {
        "transforms": [asdict(transform) for transform in predictor.transforms],
        "overlap": config.overlap,
        "cleanings": to_json(cleanings),
        "largest_component": config.largest_component,
        "fill_holes": config.fill_holes,
        "minimum_size_mm3": config.minimum_size_mm3,
    }
    if files.segmentation:
        refuse_unwritable(predictor.plan.classes, files.segmentation, overlapping=predictor.plan.overlapping)
        settings["segmentation"] = files.segmentation
    models = [model_checksum(package) for package in predictor.packages]
    if files.is_bids:
        refuse_overlapping(predictor.plan.overlapping)
        refuse_other_data_set(output)
        refuse_equal_places([(item.name, _place(item, files)) for item in inputs])
    tasks = []
    for item in inputs:
        stamps = [stamp for file in item.files if file.exists() for stamp in file_stamps(file)]
        maps = map_files(
            output,
            item.name,
            files.suffix_of_maps,
            predictor.plan.classes,
            requested_maps,
            with_std=predictor.result_count > 1,
        )
        if config.nrrd_beside:
            maps[NRRD] = output / NRRD / f"{item.name}.seg.nrrd"
        label_map = output / _place(item, files)
        if files.is_bids:
            maps[SIDECAR] = sidecar_of(label_map)
        if predictor.plan.overlapping:
            refuse_one_number(label_map)
        tasks.append(Task(item=item, output=label_map, maps=maps, recipe=recipe(models, settings, stamps)))
    return tasks


def _place(item: Input, files: ResultFormat) -> Path:
    """Where its label map lies below the output folder."""
    name = f"{item.name}.{files.suffix}"
    return bids_place(item.name, item.files[0], files.suffix) if files.is_bids else Path(name)


def _differences(packages: Sequence[ModelPackage]) -> list[str]:
    """What may differ here of models that another program made, each once."""
    about = [package.training.get("imported") for package in packages]
    told = {str(entry.get("differences", "")): None for entry in about if isinstance(entry, dict)}
    return [f"The model comes from another program: {text}." for text in told if text]


def _refuse_to_overwrite(tasks: Sequence[Task], record: ApplyRecord, overwrite: bool) -> list[Task]:
    """The tasks that are to be done; raises UsageError where results would go that nobody said may go."""
    states = {task.output: record.state(task.output, task.maps.values(), task.recipe) for task in tasks}
    by_hand = [output for output, state in states.items() if state == BY_HAND]
    if by_hand:
        raise UsageError(
            f"{len(by_hand)} of {len(tasks)} label maps or their maps are there already and stay as they are (first: "
            f"{by_hand[0]}): 'apply' did not make them, or they were changed since. Choose another output folder, or "
            "move them away."
        )
    other = [output for output, state in states.items() if state not in (ABSENT, SAME)]
    if other and not overwrite:
        raise UsageError(
            f"{len(other)} of {len(tasks)} label maps are there already, made by another model, of other images or "
            f"with other settings (first: {other[0]}). Give --overwrite to make them again, or choose another output "
            "folder."
        )
    return [task for task in tasks if overwrite or states[task.output] != SAME]


def _announced(total: int, left: int, cleanings: Sequence[Cleaning]) -> str:
    present = f", {total - left} of {total} are there already" if left < total else ""
    done = f". Clean-up that helped on validation cases: {'; '.join(c.text() for c in cleanings)}" if cleanings else ""
    return f"Segmenting images ({left}{present}){done}"
