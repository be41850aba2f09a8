"""From files to what the network sees: axes in the planned order, the planned spacing, normalised intensities."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from MedSegTrainerLib.classes import unknown_classes
from MedSegTrainerLib.config.plan import LabelCode, Plan, Preparation
from MedSegTrainerLib.data.case_labels import read_labels_onto
from MedSegTrainerLib.data.checks.hot_voxels import without_hot_voxels
from MedSegTrainerLib.data.checks.label_values import as_class
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.samples.arrangement import Arrangement, arranged, arrangement_of, nonzero
from MedSegTrainerLib.data.samples.normalize import normalize
from MedSegTrainerLib.data.samples.overlapping_indices import overlapping_indices
from MedSegTrainerLib.data.samples.resample_labels import resample_labels
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.imaging.axis_resampling import axis_orders, resample_axes
from MedSegTrainerLib.imaging.geometry import Geometry, resample
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.imaging.size_limits import SMALL

LOCATIONS_PER_CLASS = 2000
ANYWHERE = 0
IGNORE = -1  # class index of voxels that nobody labelled: they do not count in losses and scores


@dataclass(frozen=True, kw_only=True)
class PreparedCase:
    """A case on the network's grid.

    image: float32 (channels, z, y, x). label: uint8 or int16 class indices (z, y, x), 0 is background, -1 not labelled;
    what numbers beyond the classes mean stands in ``label_codes`` of the plan.
    locations: int32 (n, 4): class index, z, y, x of up to 2000 voxels of each class; where not all is labelled also of
    up to 2000 voxels that are, be it as background, with the index ``ANYWHERE``.
    geometry: the network's grid.
    """

    image: np.ndarray
    label: np.ndarray
    locations: np.ndarray
    geometry: Geometry


def prepare_image(
    channels: Sequence[sitk.Image], plan: Plan, arrangement: Arrangement | None = None
) -> tuple[np.ndarray, Geometry]:
    """Channels as float32 (channels, z, y, x) on the network's grid, and that grid; axes in the order of the plan.

    arrangement: ``arrangement_of`` them, where it is known. Raises DataError where that takes more memory than is free.
    """
    arrangement = arrangement or arrangement_of(channels, plan)
    grid = network_grid(arrangement.region, plan)
    _refuse_beyond_memory(grid, len(channels))
    image = np.empty((len(channels), *grid.size_zyx), np.float32)
    plain = (sitk.Cast(channel, sitk.sitkFloat32) for channel in channels)
    if plan.preparation is not None:
        parts = [arrangement.part(arranged(channel, plan)) for channel in plain]
        _fill_as_elsewhere(image, parts, arrangement.region, plan, plan.preparation)
        return image, grid
    for target, channel, normalization in zip(image, plain, plan.normalization, strict=True):
        resampled = resample(arranged(without_hot_voxels(channel), plan), grid, is_label=False)
        target[...] = normalize(sitk.GetArrayViewFromImage(resampled), normalization)
    return image, grid


def _fill_as_elsewhere(
    image: np.ndarray, parts: Sequence[sitk.Image], region: Geometry, plan: Plan, preparation: Preparation
) -> None:
    """``image`` (channels, z, y, x) from the channels in the region as another program makes it of them: normalised
    first, so that what is 0 around the patient is not mixed with it before."""
    arrays = [sitk.GetArrayViewFromImage(part) for part in parts]
    is_masked = any(channel.masked for channel in plan.normalization)
    mask = ndimage.binary_fill_holes(nonzero(arrays)) if is_masked else None
    orders = axis_orders(preparation.image, region.spacing_zyx, network_spacing(region, plan))
    for target, array, normalization in zip(image, arrays, plan.normalization, strict=True):
        target[...] = resample_axes(normalize(array, normalization, mask), target.shape, orders)


def _refuse_beyond_memory(grid: Geometry, channels: int) -> None:
    needed = 4 * math.prod(grid.size) * channels
    if needed > SMALL and needed > (free := available_memory()):
        raise DataError(
            f"With the voxels that the network sees, {_times(grid.spacing)} mm, the image would have "
            f"{_times(grid.size)}, {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free. Is the size of "
            "its voxels right? Else cut it, or use a model with larger voxels."
        )


def _times(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.6g}" for value in values)


def prepare_case(case: Case, plan: Plan) -> PreparedCase:
    """Reads and prepares image and label of a case."""
    channels = read_channels(case.images)
    arrangement = arrangement_of(channels, plan)
    image, grid = prepare_image(channels, plan, arrangement)
    labels = read_labels_onto(case, channels[0], plan.ignore_label)
    values = resample_labels(arrangement.part(arranged(labels, plan)), grid, plan.ignore_label)
    indices = class_indices(values, plan, case.drawn)
    locations = _locations(indices, plan)
    return PreparedCase(image=image, label=indices, locations=locations, geometry=grid)


def network_grid(geometry: Geometry, plan: Plan) -> Geometry:
    """The grid of the planned spacing, or image size, over the same box; in 2D the slices stay where they are."""
    z, y, x = network_spacing(geometry, plan)
    if plan.preparation is None:
        return geometry.resized((x, y, z))
    edges = zip(geometry.spacing_zyx, (z, y, x), geometry.size_zyx, strict=True)
    depth, rows, columns = (max(1, round(old / new * n)) for old, new, n in edges)  # in nnU-Net's order: .5 is near
    return geometry.with_size((columns, rows, depth))


def network_spacing(geometry: Geometry, plan: Plan) -> tuple[float, float, float]:
    """Edges (z, y, x, or what stands in their places) in mm that the voxels of an image on this grid are to have."""
    z, y, x = plan.spacing
    if plan.image_size is not None:
        scale = min(length / n for length, n in zip(plan.image_size, geometry.size_zyx[1:], strict=True))
        y, x = geometry.spacing_zyx[1] / scale, geometry.spacing_zyx[2] / scale
    return geometry.spacing[2] if plan.dims == 2 else z, y, x


def class_indices(values: np.ndarray, plan: Plan, drawn: Collection[str] | None = None) -> np.ndarray:
    """Label values as class indices: 0 background, 1 the first class, ..., -1 where nobody labelled.

    drawn: names of the classes that somebody looked for, None for all. Where others may be, the number is that of
    their ``LabelCode``; where classes overlap, values are ``class_bits``. Of a single class a mask of 0 and 255 may
    hold the 1 as well, and the other way round.
    """
    unknown = unknown_classes(plan.class_names, drawn)
    if plan.overlapping:
        return overlapping_indices(values, plan, unknown)
    values = as_class(values, [item.value for item in plan.classes], plan.ignore_label)
    free = len(plan.classes) + 1 + plan.label_codes.index(LabelCode(unknown=unknown)) if unknown else 0
    fits = len(plan.classes) + len(plan.label_codes) < 256 and plan.ignore_label is None
    indices = np.zeros(values.shape, np.uint8 if fits else np.int16)
    for index, item in enumerate(plan.classes, start=1):
        indices[values == item.value] = index
    if free:
        indices[indices == 0] = free
    if plan.ignore_label is not None:
        indices[values == plan.ignore_label] = IGNORE
    return indices


def _locations(indices: np.ndarray, plan: Plan) -> np.ndarray:
    """Evenly spread voxels of each class, as a patch is centred on them, and where not all is labelled of what is."""
    locations = []
    for index in range(1, len(plan.classes) + 1):
        numbers = [number for number, present in plan.present_classes().items() if index in present]
        locations.append(_spread(indices == index if len(numbers) == 1 else np.isin(indices, numbers), index))
    known = indices != IGNORE
    if not known.all():
        locations.append(_spread(known, ANYWHERE))
    return np.concatenate(locations).astype(np.int32)


def _spread(mask: np.ndarray, index: int) -> np.ndarray:
    positions = np.flatnonzero(mask.ravel())
    count = min(positions.size, LOCATIONS_PER_CLASS)
    chosen = positions[np.linspace(0, positions.size - 1, count).astype(np.int64)]
    coordinates = np.stack(np.unravel_index(chosen, mask.shape), axis=1)
    return np.concatenate([np.full((len(chosen), 1), index), coordinates], axis=1)
