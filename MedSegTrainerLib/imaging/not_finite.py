"""Voxels that are NaN or infinite: counted where a training refuses them, made background where they only surround
what was imaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.nifti_checks import read_not_finite

REMEDY = "Replace them, for instance by the background intensity, and save the image again."


def not_finite(paths: Sequence[Path], channels: Sequence[sitk.Image]) -> list[np.ndarray | None]:
    """Where the channels of a case (``read.read_channels``) are NaN or infinite in their files: (z, y, x), None for
    nowhere."""
    masks = [_of_image(channel) for channel in channels]
    each = len(channels) // len(paths)
    for position, path in enumerate(paths):
        span = slice(position * each, (position + 1) * each)
        stored = read_not_finite(path, [sitk.GetArrayViewFromImage(channel) for channel in channels[span]])
        if stored is not None:
            masks[span] = [mask if mask.any() else None for mask in stored]
    return masks


def with_padding_filled(paths: Sequence[Path], channels: Sequence[sitk.Image]) -> tuple[list[sitk.Image], str | None]:
    """The channels with the darkest voxel's value where they are NaN or infinite outside what was imaged, and a
    message that says so.

    Outside is what such voxels alone connect with the border of the volume. Raises DataError where there are others.
    """
    filled, count = list(channels), 0
    for index, mask in enumerate(not_finite(paths, channels)):
        if mask is None:
            continue
        path = paths[index * len(paths) // len(channels)]
        _refuse_inside(path, mask)
        array = sitk.GetArrayFromImage(channels[index])
        array[mask] = array[~mask].min()
        filled[index] = sitk.GetImageFromArray(array)
        filled[index].CopyInformation(channels[index])
        count += int(mask.sum())
    if not count:
        return filled, None
    many = "1 voxel is" if count == 1 else f"{count} voxels are"
    return filled, f"{many} NaN or infinite at the border, and were taken as the darkest voxel of the image."


def _of_image(channel: sitk.Image) -> np.ndarray | None:
    array = sitk.GetArrayViewFromImage(channel)
    if not np.issubdtype(array.dtype, np.floating):
        return None
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum(dtype=np.float64)):  # only where every voxel is; needs no memory for a mask
            return None
    mask = ~np.isfinite(array)
    return mask if mask.any() else None


def _refuse_inside(path: Path, mask: np.ndarray) -> None:
    parts, count = ndimage.label(mask)
    is_outside = np.zeros(count + 1, bool)
    for axis, length in enumerate(mask.shape):
        for face in (0, -1) if length > 1 else ():  # all of a single slice lies at its border
            is_outside[np.take(parts, face, axis)] = True
    inside = mask.size if mask.all() else int((mask & ~is_outside[parts]).sum())
    if inside:
        raise DataError(f"{path}: {inside} voxels are NaN or infinite, and no frame around what was imaged. {REMEDY}")
