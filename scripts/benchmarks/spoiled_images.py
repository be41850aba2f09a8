"""Images that something went wrong with, each in a way of its own, with the labels that then are true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional

Pair = tuple[sitk.Image, sitk.Image]  # image and label map on one grid


def clean(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    return image, labels


def noise(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    """0.3 to 1.5 standard deviations of the image."""
    array = _array(image)
    return _like(array + random.normal(size=array.shape) * array.std() * random.uniform(0.3, 1.5), image), labels


def bias_field(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    """A smooth factor of up to 1.6 to 4.5 either way, on intensities above the lowest."""
    array, coarse = _array(image), torch.from_numpy(random.normal(size=(1, 1, 4, 4, 4)).astype(np.float32))
    field = functional.interpolate(coarse, size=array.shape, mode="trilinear", align_corners=True)[0, 0].numpy()
    factor = np.exp(random.uniform(0.5, 1.5) * field / np.abs(field).max())
    return _like((array - array.min()) * factor + array.min(), image), labels


def cropped(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    """40 to 70 % of it are left along one axis, at one end."""
    axis = int(random.integers(3))
    length = image.GetSize()[axis]
    kept = max(1, int(length * random.uniform(0.4, 0.7)))
    start = 0 if random.random() < 0.5 else length - kept
    part = [slice(None)] * 3
    part[axis] = slice(start, start + kept)
    return image[tuple(part)], labels[tuple(part)]


def wrong_spacing(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    """The header says that voxels are half or twice as long along one axis."""
    spacing, (image, labels) = list(image.GetSpacing()), (sitk.Image(image), sitk.Image(labels))
    spacing[int(random.integers(3))] *= float(random.choice([0.5, 0.6, 1.7, 2.0]))
    for side in (image, labels):
        side.SetSpacing(spacing)
    return image, labels


def flipped(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    """Along one axis, and the header does not say so."""
    axis = int(random.integers(3))
    return _like(np.flip(_array(image), axis), image), _like(np.flip(sitk.GetArrayFromImage(labels), axis), labels)


def other_scale(image: sitk.Image, labels: sitk.Image, random: np.random.Generator) -> Pair:
    """Intensities from 0 to 255, clipped, as many a viewer exports them."""
    array = _array(image)
    low, high = np.percentile(array, (0.5, 99.5))
    return _like(((array - low) / max(high - low, 1e-6)).clip(0, 1) * 255, image), labels


SPOILINGS: dict[str, Callable[[sitk.Image, sitk.Image, np.random.Generator], Pair]] = {
    "clean": clean,
    "noise": noise,
    "bias field": bias_field,
    "cropped": cropped,
    "wrong spacing": wrong_spacing,
    "flipped": flipped,
    "other scale": other_scale,
}


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).astype(np.float32)


def _like(array: np.ndarray, image: sitk.Image) -> sitk.Image:
    result = sitk.GetImageFromArray(np.ascontiguousarray(array))
    result.CopyInformation(image)
    return result
