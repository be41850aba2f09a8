"""A job of kind ``apply``: a model on files or folders of images, one label map for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
import torch

from MedSegTrainerLib.config import ApplyConfig
from MedSegTrainerLib.data.dicom import holds_series, images_in
from MedSegTrainerLib.data.images import case_name, image_files, read_channels
from MedSegTrainerLib.data.label_maps import refuse_several_slices, write_label_map
from MedSegTrainerLib.device import choose_device
from MedSegTrainerLib.errors import DataError, MedSegError, UsageError
from MedSegTrainerLib.events import CaseDone, Emit, Progress, Stage, Warned
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.inference import Predictor
from MedSegTrainerLib.job import STOP_NOW, JobFolder, JobOwner, Outcome
from MedSegTrainerLib.package import load_package
from MedSegTrainerLib.postprocess import clean_up
from MedSegTrainerLib.sides import why_not_mirror

SUFFIXES = {"nifti": "nii.gz"}  # output formats that are named otherwise than their files
UNITS_PER_CASE = 1000  # progress counts parts of a case, so that one large volume moves too
X_AXIS = 2  # array axis from left to right, once a volume has canonical axes


@dataclass(frozen=True, kw_only=True)
class Input:
    """An image to segment: one file (or DICOM folder) with all channels, or one for each."""

    name: str
    files: tuple[Path, ...]


def run_apply(config: ApplyConfig, folder: JobFolder, owner: JobOwner, emit: Emit) -> Outcome:
    """Segments every input; one that cannot be read does not keep the others from being done.

    Raises MedSegError at the end when any failed, after all label maps were written.
    """
    package = load_package(Path(config.model))
    inputs = find_inputs([Path(name) for name in config.inputs], len(package.plan.normalization))
    inputs += [Input(name=name, files=tuple(map(Path, files))) for name, files in config.cases.items()]
    suffix = SUFFIXES.get(config.output_format, config.output_format)
    outputs = [Path(config.output_dir) / f"{item.name}.{suffix}" for item in inputs]
    _refuse_to_overwrite(outputs)
    device, warning = choose_device(config.device)
    if warning:
        emit(Warned(message=warning))
    axes, warning = mirror_axes(config, package.plan.flip_axes, why_not_mirror(package.plan.class_names))
    if warning:
        emit(Warned(message=warning))
    predictor = Predictor(package, device, overlap=config.overlap, mirror_axes=axes)
    emit(Stage(name="apply", message=f"Segmenting images ({len(inputs)})", total=len(inputs) * UNITS_PER_CASE))
    owner.update(state="running", stage="apply")
    failures = []
    began = time.monotonic()
    for index, (item, output) in enumerate(zip(inputs, outputs, strict=True)):
        if folder.stop_requested():
            return Outcome(
                message=f"Stopped after {index} of {len(inputs)}.", result=config.output_dir, stopped=STOP_NOW
            )
        show = _progress(emit, owner, index, len(inputs), began)
        error = _apply_one(item, output, predictor, config, emit, show)
        if error:
            failures.append(error)
    if failures:
        raise DataError(f"{len(failures)} of {len(inputs)} images were not segmented:\n" + "\n".join(failures))
    return Outcome(message=f"{len(inputs)} label maps are in {config.output_dir}", result=config.output_dir)


def mirror_axes(
    config: ApplyConfig, trained: Sequence[int], swaps: str | None = None
) -> tuple[tuple[int, ...], str | None]:
    """The axes (0 is z) that test-time augmentation mirrors, and a warning where that is not what was asked.

    A network that never saw mirrored patches would be misled by them. ``swaps`` says what mirroring along x does to
    classes with a side; then it is left out even if the network was trained with it.
    """
    if not config.tta:
        return (), None
    allowed = tuple(axis for axis in trained if axis != X_AXIS or not swaps)
    why = f": {swaps}" if swaps else ""
    if config.tta_transforms == "auto":
        nothing = f"Nothing is mirrored for test-time augmentation, as the model was trained without it{why}."
        return allowed, None if allowed else nothing
    asked = ["zyx".index(name[-1]) for name in dict.fromkeys(config.tta_transforms)]
    left_out = ", ".join(f"flip_{'zyx'[axis]}" for axis in asked if axis not in allowed)
    warning = f"Left out: {left_out}. The model was trained without mirroring along it{why}." if left_out else None
    return tuple(sorted(axis for axis in asked if axis in allowed)), warning


def find_inputs(paths: Sequence[Path], channels: int) -> list[Input]:
    """The images in files and folders; a folder with the slices of a DICOM series is one image.

    With several channels, files that differ only in ``_0000``, ``_0001``, ... belong together.
    Raises UsageError for paths that do not exist, folders without images and names that occur twice.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = images_in(path) if holds_series(path) else image_files(path)
            if not inside:
                formats = "NIfTI, NRRD, MetaImage, DICOM, NPY, PNG, TIFF or JPEG"
                raise UsageError(f"{path} holds no image files ({formats}).")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise UsageError(f"{path} does not exist. Check the path.")
    grouped: dict[str, list[Path]] = {}
    for file in files:
        name, _, number = case_name(file).rpartition("_")
        numbered = bool(name) and len(number) == 4 and number.isdigit() and channels > 1
        grouped.setdefault(name if numbered else case_name(file), []).append(file)
    for name, group in grouped.items():
        if len({case_name(file) for file in group}) < len(group) or len(group) not in (1, channels):
            listed = ", ".join(str(file) for file in group)
            raise UsageError(
                f"Several inputs are named {name}, and their results would overwrite each other: {listed}. "
                "Apply the model to one after the other, with another output folder each."
            )
    return [Input(name=name, files=tuple(sorted(group))) for name, group in grouped.items()]


def _refuse_to_overwrite(outputs: Sequence[Path]) -> None:
    """What is there already may be a segmentation made by hand, or the image itself."""
    there = [output for output in outputs if output.exists()]
    if there:
        raise UsageError(
            f"{len(there)} of {len(outputs)} label maps are there already and stay as they are (first: {there[0]}). "
            "Choose another output folder, or move them away."
        )


def cleaned(labels: sitk.Image, config: ApplyConfig) -> sitk.Image:
    """The label map without the specks and holes that the settings name, on the same grid."""
    if not (config.largest_component or config.fill_holes or config.minimum_size_mm3):
        return labels
    grid = Geometry.of(labels)
    array = clean_up(
        sitk.GetArrayViewFromImage(labels), grid.spacing_zyx, largest_component=config.largest_component,
        fill_holes=config.fill_holes, minimum_size_mm3=config.minimum_size_mm3,
    )  # fmt: skip
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(labels)
    return result


def _progress(emit: Emit, owner: JobOwner, index: int, total: int, began: float) -> Callable[[int, int], None]:
    """Tells, once a second, how far the image with this index is, and how long the rest takes at the same pace."""
    last = 0.0

    def show(done: int, windows: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 1 or done == windows:
            last = now
            reached, all_of_it = int(UNITS_PER_CASE * (index + done / windows)), total * UNITS_PER_CASE
            eta = round((now - began) / reached * (all_of_it - reached), 1) if reached else None
            emit(Progress(done=reached, total=all_of_it, eta_seconds=eta))
            owner.update(progress=reached / all_of_it, eta_seconds=eta)

    return show


def _apply_one(
    item: Input, output: Path, predictor: Predictor, config: ApplyConfig, emit: Emit, show: Callable[[int, int], None]
) -> str | None:
    """Segments one image; returns what went wrong, or None."""
    started = time.time()
    try:
        channels = read_channels(item.files)
        refuse_several_slices(channels[0].GetSize(), output)
        labels = cleaned(predictor.predict(channels, show), config)
        write_label_map(labels, output, predictor.plan.classes)
    except DataError as error:
        told = str(error) if str(item.files[0]) in str(error) else f"{item.files[0]}: {error}"
        emit(CaseDone(name=item.name, error=told))
        return told
    except (MemoryError, torch.OutOfMemoryError):
        raise MedSegError(
            f"{item.name} needs more memory than there is. Close other programs, or use --device cpu."
        ) from None
    emit(CaseDone(name=item.name, output=str(output), seconds=round(time.time() - started, 2)))
    return None
