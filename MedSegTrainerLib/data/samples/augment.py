"""Random variation of training patches, drawn first and then applied to a whole batch on its device.

Everything spatial is one resampling of a source region larger than the patch, so that corners of a
rotated patch are filled with anatomy. How far anything is varied stands in ``RANGES``, and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.patches import Triple
from MedSegTrainerLib.data.samples.preprocess import IGNORE
from MedSegTrainerLib.hardware.device import tensors_to_device

FLIP_PROBABILITY = 0.5  # along each of the plan's axes
AFFINE_PROBABILITY = 0.7  # of rotation, shear, scale and translation together
ELASTIC_PROBABILITY = 0.2
BLUR_PROBABILITY = 0.15
NOISE_PROBABILITY = 0.2
ELASTIC_GRID = 5  # control points an axis
SOURCE_MARGIN = 1.25  # of the patch, along each axis


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What is drawn evenly between which limits; one number stands for both signs.

    rotation, shear: degrees. translation: share of the patch. scale: size of what is seen. elastic: how far a
    control point moves, share of the patch; less than half the distance between two, so that nothing folds.
    brightness, noise: standard deviations of the patch. contrast: factor. blur: standard deviation in voxels.
    multi_scale: factor on the scale of a whole batch, evenly on a logarithmic scale, only for networks whose
    ``Architecture`` is multi-scale.
    """

    rotation: float
    shear: float
    translation: float
    scale: tuple[float, float]
    elastic: float
    brightness: float
    contrast: tuple[float, float]
    noise: tuple[float, float]
    blur: tuple[float, float]
    multi_scale: tuple[float, float]


RANGES = {  # standard: the training guide's, as far as it gives them; multi_scale of strong: Chen et al. 2018
    "light": Ranges(
        rotation=7.5, shear=2.5, translation=0.05, scale=(0.95, 1.05), elastic=0.025, brightness=0.1,
        contrast=(0.9, 1.1), noise=(0, 0.075), blur=(0.5, 0.75), multi_scale=(0.8, 1.25),
    ),
    "standard": Ranges(
        rotation=15, shear=5, translation=0.1, scale=(0.9, 1.1), elastic=0.05, brightness=0.2,
        contrast=(0.8, 1.2), noise=(0, 0.15), blur=(0.5, 1.0), multi_scale=(0.67, 1.5),
    ),
    "strong": Ranges(
        rotation=24, shear=8, translation=0.16, scale=(0.84, 1.16), elastic=0.08, brightness=0.32,
        contrast=(0.68, 1.32), noise=(0, 0.24), blur=(0.5, 1.3), multi_scale=(0.5, 2.0),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AugmentationDraw:
    """One random draw for B patches; identity entries where nothing is to happen.

    affine: (B, 3, 3), from offsets in the patch to offsets in the source, mm, (z, y, x) order.
    translation: (B, 3), share of the patch. elastic: (B, 3, k, k, k), share of the patch, or None.
    contrast, brightness, noise, blur: (B,), the last three in units of the patch's standard deviation
    (blur: in voxels). noise_seeds: of the noise itself, one a patch.
    """

    affine: torch.Tensor
    translation: torch.Tensor
    elastic: torch.Tensor | None
    contrast: torch.Tensor
    brightness: torch.Tensor
    noise: torch.Tensor
    blur: torch.Tensor
    noise_seeds: tuple[int, ...]

    def of(self, chosen: slice) -> AugmentationDraw:
        """The draw of some of the patches."""
        parts: dict[str, Any] = {name: value if value is None else value[chosen] for name, value in vars(self).items()}
        return AugmentationDraw(**parts)

    def in_place(self) -> AugmentationDraw:
        """The same intensities, but what is in the patch stays where it is."""
        affine = torch.eye(3).expand_as(self.affine)
        return replace(self, affine=affine, translation=torch.zeros_like(self.translation), elastic=None)


def draw_augmentation(generator: np.random.Generator, batch: int, plan: Plan, strength: str) -> AugmentationDraw:
    """Draws the variation of a batch at a strength of ``RANGES``."""
    ranges = RANGES[strength]
    uniform = generator.uniform
    active = generator.random(batch) < AFFINE_PROBABILITY
    plane_only = _turns_in_plane_only(plan)
    affine = np.stack([_draw_affine(generator, ranges, plane_only) if active[i] else np.eye(3) for i in range(batch)])
    for axis in plan.flip_axes:
        affine[generator.random(batch) < FLIP_PROBABILITY, :, axis] *= -1
    translation = uniform(-ranges.translation, ranges.translation, (batch, 3)) * active[:, None]
    if plan.dims == 2:
        translation[:, 0] = 0
    elastic = _draw_elastic(generator, batch, ranges.elastic, plane_only)

    def sometimes(probability: float, limits: tuple[float, float]) -> torch.Tensor:
        return _tensor(np.where(generator.random(batch) < probability, uniform(*limits, batch), 0.0))

    drawn = AugmentationDraw(
        affine=_tensor(affine),
        translation=_tensor(translation),
        elastic=elastic,
        contrast=_tensor(uniform(*ranges.contrast, batch)),
        brightness=_tensor(uniform(-ranges.brightness, ranges.brightness, batch)),
        noise=sometimes(NOISE_PROBABILITY, ranges.noise),
        blur=sometimes(BLUR_PROBABILITY, ranges.blur),
        noise_seeds=tuple(generator.integers(2**31, size=batch).tolist()),
    )
    if ARCHITECTURES[plan.architecture].is_multi_scale:
        drawn.affine[:, :, 1:] /= math.exp(uniform(*np.log(ranges.multi_scale)))
    return drawn


def apply_augmentation(
    images: torch.Tensor, labels: torch.Tensor, draw: AugmentationDraw, plan: Plan
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of the planned size from source regions.

    images: float32 (B, C, z, y, x) and labels: int16 (B, z, y, x) of ``source_size``.
    Returns float32 (B, C, *patch) and int16 (B, *patch). A patch is not moved where it would lose all of its labelled
    voxels.
    """
    varied, moved = _varied(images, labels, draw, plan)
    if plan.ignore_label is None:
        return varied, moved
    empty = (moved < 0).flatten(1).all(1)
    if empty.any():
        still = _varied(images, labels, draw.in_place(), plan)
        varied[empty], moved[empty] = still[0][empty], still[1][empty]
    return varied, moved


def _varied(
    images: torch.Tensor, labels: torch.Tensor, draw: AugmentationDraw, plan: Plan
) -> tuple[torch.Tensor, torch.Tensor]:
    grid = _sampling_grid(draw, plan, tuple(images.shape[2:]), images.device)
    warped = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    shifted = (labels - IGNORE).to(torch.float32)[:, None]  # beyond the source grid_sample gives 0, which is IGNORE
    nearest = functional.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return vary_intensity(warped, draw), nearest[:, 0].to(torch.int16) + IGNORE


def source_size(plan: Plan, largest: Triple, strength: str = "standard") -> Triple:
    """Region (z, y, x) to cut for a patch: a quarter larger, but no larger than patch or volumes need.

    Where batches are seen at many scales it is so much larger that the smallest scale fits into it.
    """
    zoom = 1 / RANGES[strength].multi_scale[0] if ARCHITECTURES[plan.architecture].is_multi_scale else 1.0
    enlarged = [math.ceil(SOURCE_MARGIN * zoom * p) if p > 1 else 1 for p in plan.patch_size]
    size = [min(g, max(p, n)) for g, p, n in zip(enlarged, plan.patch_size, largest, strict=True)]
    return size[0], size[1], size[2]


def vary_intensity(images: torch.Tensor, draw: AugmentationDraw) -> torch.Tensor:
    """Contrast, brightness, blur and noise on (B, C, z, y, x); the input may be overwritten."""
    device = images.device
    shape = (-1, 1, 1, 1, 1)
    mean = images.mean(dim=(2, 3, 4), keepdim=True)
    std = (images - mean).square().mean(dim=(2, 3, 4), keepdim=True).sqrt()  # many times faster than torch.std on CPUs
    contrast, brightness = (part.view(shape) for part in tensors_to_device([draw.contrast, draw.brightness], device))
    images = torch.addcmul(mean * (1 - contrast) + brightness * std, images, contrast)
    for i in draw.blur.nonzero()[:, 0].tolist():
        images[i : i + 1] = _blur(images[i : i + 1], float(draw.blur[i]))
    for i in draw.noise.nonzero()[:, 0].tolist():
        generator = torch.Generator(device=device).manual_seed(draw.noise_seeds[i])
        field = torch.randn(images[i].shape, generator=generator, device=device)
        images[i] += field * (float(draw.noise[i]) * std[i])
    return images


def _sampling_grid(draw: AugmentationDraw, plan: Plan, source: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """(B, z, y, x, 3) positions in the source, in grid_sample's coordinates (x, y, z from -1 to 1)."""
    spacing = torch.tensor(plan.spacing)
    patch, size = torch.tensor(plan.patch_size, dtype=torch.float32), torch.tensor(source, dtype=torch.float32)
    in_voxels = draw.affine / spacing[:, None] * spacing
    matrix = in_voxels * (patch / 2) / (size[:, None] / 2)
    shift = draw.translation * patch * 2 / size + _centre_shift(plan.patch_size, source)
    bends = [] if draw.elastic is None else [draw.elastic * (patch * 2 / size).view(1, 3, 1, 1, 1)]
    in_xyz = [part.flip(1) for part in (shift, matrix, *bends)]  # as grid_sample wants it
    shift, matrix, *bends = tensors_to_device(in_xyz, device)
    grid = shift[:, None, None, None]
    for axis, length in enumerate(plan.patch_size):
        steps = (2 * torch.arange(length, device=device) + 1) / length - 1
        along = matrix[:, None, :, axis] * steps[None, :, None]  # (B, length, 3)
        grid = grid + along.view(len(along), *(length if a == axis else 1 for a in range(3)), 3)
    for field in bends:
        displacement = functional.interpolate(field, size=plan.patch_size, mode="trilinear", align_corners=True)
        grid = grid + displacement.permute(0, 2, 3, 4, 1)
    return grid


def _centre_shift(patch: Triple, source: tuple[int, ...]) -> torch.Tensor:
    """Both regions are cut around the same voxel; where one length is odd and the other even, centres differ."""
    offsets = [(s // 2 - s / 2) - (p // 2 - p / 2) for p, s in zip(patch, source, strict=True)]
    return torch.tensor([2 * offset / s for offset, s in zip(offsets, source, strict=True)], dtype=torch.float32)


def _draw_affine(generator: np.random.Generator, ranges: Ranges, plane_only: bool) -> np.ndarray:
    """Rotation, scale and shear, (z, y, x) order, mm; ``plane_only`` leaves the z axis alone."""
    angles = np.radians(generator.uniform(-ranges.rotation, ranges.rotation, 3))
    shears = np.tan(np.radians(generator.uniform(-ranges.shear, ranges.shear, 3)))
    scale = 1 / generator.uniform(*ranges.scale)
    if plane_only:
        angles[1:] = shears[1:] = 0
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        shear_matrix = np.eye(3)
        shear_matrix[first, second] = shears[axis]
        matrix = matrix @ turn @ shear_matrix
    grow = np.array([1.0, scale, scale]) if plane_only else np.array([scale] * 3)
    return matrix * grow


def _draw_elastic(
    generator: np.random.Generator, batch: int, amplitude: float, plane_only: bool
) -> torch.Tensor | None:
    """(B, 3, k, k, k) moves of control points, 0 for patches that are not bent; None where none is."""
    bend = generator.random(batch) < ELASTIC_PROBABILITY
    field = generator.uniform(-amplitude, amplitude, (batch, 3, *[ELASTIC_GRID] * 3))
    if plane_only:
        field[:, 0] = 0
    return _tensor(field * bend[:, None, None, None, None]) if bend.any() else None


def _turns_in_plane_only(plan: Plan) -> bool:
    """Turning thick slices out of their plane would mix what lies far apart (nnU-Net's rule: 3 times thicker)."""
    return plan.dims == 2 or plan.spacing[0] > 3 * max(plan.spacing[1:])


def _blur(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of (1, C, z, y, x) by ``sigma`` voxels; an axis of one voxel is left alone."""
    radius = max(1, round(2 * sigma))
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel /= kernel.sum()
    channels = images.transpose(0, 1)
    for axis in range(3):
        if channels.shape[axis + 2] <= radius:
            continue
        shape, pads = [1, 1, 1], [0] * 6
        shape[axis] = len(kernel)
        pads[2 * (2 - axis)] = pads[2 * (2 - axis) + 1] = radius
        channels = functional.conv3d(functional.pad(channels, pads, mode="replicate"), kernel.view(1, 1, *shape))
    return channels.transpose(0, 1)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
