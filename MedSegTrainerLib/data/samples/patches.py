"""Which patch a training step sees: drawn from the seed and the step alone, so a resumed run draws the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.data.samples.preprocess import ANYWHERE, IGNORE
from MedSegTrainerLib.hardware.device import stacked_on_device

Triple = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class PatchDraw:
    """A patch to be cut: index of the case and the voxel (z, y, x) at its centre."""

    case: int
    center: Triple


def epoch_order(
    seed: int,
    epoch: int,
    cases: int,
    samples_per_volume: int,
    *,
    shuffle: bool = True,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Case index of every sample of an epoch; each case stands ``samples_per_volume`` times.

    With ``weights`` (one a case, sum 1) cases are drawn by them instead, with replacement.
    """
    generator = np.random.default_rng((seed, 1, epoch))
    if weights is not None:
        return generator.choice(cases, size=cases * samples_per_volume, p=weights)
    order = np.repeat(np.arange(cases), samples_per_volume)
    return generator.permutation(order) if shuffle else order


def rarity_weights(cases: Sequence[StoredCase]) -> np.ndarray:
    """One weight a case, sum 1: a case counts as much as the rarest of its classes (1 / cases that have it);
    of a class that nobody looked for in a case only the others tell."""
    present = [classes_in(case) - {*case.unknown} for case in cases]
    having = {label: sum(label in own for own in present) for own in present for label in own}
    weights = np.array([max((1 / having[label] for label in own), default=1 / len(cases)) for own in present])
    normalised: np.ndarray = weights / weights.sum()
    return normalised


def draw_patch(
    generator: np.random.Generator, index: int, case: StoredCase, patch: Triple, oversampling: float
) -> PatchDraw:
    """A patch of ``case``: with probability ``oversampling`` around a voxel of a random class, else anywhere.

    Where not all is labelled, one of the labelled voxels lies anywhere in the patch.
    """
    size = case.geometry.size_zyx
    around_class = generator.random() < oversampling
    uniform = generator.random(3)
    locations = case.locations
    numbers = torch.unique(locations[:, 0]).numpy()
    classes = numbers[numbers != ANYWHERE]
    if around_class and len(classes):
        point = _drawn_row(generator, locations, int(generator.choice(classes)))
    elif ANYWHERE in numbers:
        voxel = _drawn_row(generator, locations, ANYWHERE)
        point = [at - int(part * p) + p // 2 for at, part, p in zip(voxel, uniform, patch, strict=True)]
    else:
        point = [float(part * length) for part, length in zip(uniform, size, strict=True)]
    center = [_inside(w, length, p) for w, length, p in zip(point, size, patch, strict=True)]
    return PatchDraw(case=index, center=(center[0], center[1], center[2]))


def classes_in(case: StoredCase) -> set[int]:
    """Indices of the classes that a prepared case has."""
    return {int(number) for number in torch.unique(case.locations[:, 0]) if number != ANYWHERE}


def cut_batch(
    cases: Sequence[StoredCase],
    draws: Sequence[PatchDraw],
    size: Triple,
    device: torch.device,
    neighbours: int = 0,
    *,
    pin_memory: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, C, z, y, x) and int16 labels (B, z, y, x) of the drawn patches, on the device.

    Outside the volume the image repeats its border and the label is ``IGNORE``. ``neighbours`` slices on each side of
    a patch of one are further channels, as of ``with_neighbours``. Patches are cut where their volumes are;
    ``pin_memory``: from main memory they go to a GPU in one piece, which nobody waits for.
    """
    image_size = (size[0] + 2 * neighbours, size[1], size[2])
    images, labels = [], []
    for draw in draws:
        case = cases[draw.case]
        spans, pads = _span(draw.center, image_size, case.geometry.size_zyx)
        image = case.image[spans].to(torch.float32)
        if any(pads):
            image = functional.pad(image[None], pads, mode="replicate")[0]
        spans, pads = _span(draw.center, size, case.geometry.size_zyx)
        label = case.label[spans[1:]].to(torch.int16)
        if any(pads):
            label = functional.pad(label, pads, value=IGNORE)
        images.append(image.flatten(0, 1)[:, None] if neighbours else image)
        labels.append(label)
    return (
        stacked_on_device(images, device, pin=pin_memory),
        stacked_on_device(labels, device, pin=pin_memory),
    )


def _drawn_row(generator: np.random.Generator, locations: torch.Tensor, index: int) -> list[float]:
    """Coordinates of one of the voxels of a class."""
    rows = torch.nonzero(locations[:, 0] == index)[:, 0]
    point: list[float] = locations[int(rows[int(generator.integers(len(rows)))]), 1:].tolist()
    return point


def _inside(coordinate: float, length: int, patch: int) -> int:
    """The patch's centre along an axis: as near to ``coordinate`` as keeps the patch inside, or the middle."""
    if length <= patch:
        return length // 2
    return int(min(max(coordinate, patch // 2), length - patch + patch // 2))


def _span(center: Triple, size: Triple, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], list[int]]:
    """The part of (C, z, y, x) a patch covers, and the padding (last axis first) that completes it."""
    spans = [slice(None)]
    pads: list[int] = []
    for middle, length, full in zip(center, size, shape, strict=True):
        start = middle - length // 2
        stop = start + length
        spans.append(slice(max(0, start), min(full, stop)))
        pads = [max(0, -start), max(0, stop - full), *pads]
    return tuple(spans), pads
