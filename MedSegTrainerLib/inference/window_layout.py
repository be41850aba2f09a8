"""Where windows lie in a volume, how their results fade at their borders, and what surrounds a volume that is smaller
than one: as this program trains and plans it, and as nnU-Net does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from MedSegTrainerLib.config.plan import Plan

Triple = tuple[int, int, int]

SIGMA = 1 / 8  # of the window; nnU-Net's and MONAI's value
HIGHEST = 10.0  # weight of nnU-Net, which it keeps in 16 bits


@dataclass(frozen=True, kw_only=True)
class WindowLayout:
    """pad: an image (C, z, y, x) at least as large as a window, and where the original starts in it. starts: the first
    voxel of each window in a volume of a size, with an overlap. fade: float32 (z, y, x) weights of the voxels of
    windows with these starts."""

    pad: Callable[[torch.Tensor, Triple], tuple[torch.Tensor, Triple]]
    starts: Callable[[Sequence[int], Triple, float], list[Triple]]
    fade: Callable[[Triple, Sequence[Triple], torch.device], torch.Tensor]


def layout_of(plan: Plan) -> WindowLayout:
    """What the network of a plan is used to."""
    return OWN if plan.preparation is None else NNUNET


def window_starts(shape: Sequence[int], window: Triple, overlap: float) -> list[Triple]:
    """First voxel of each window, evenly spread; every voxel is covered, neighbours overlap at least so much."""
    axes = []
    for length, size in zip(shape, window, strict=True):
        count = 1 if length <= size else 1 + -(-(length - size) // max(1, int(size * (1 - overlap))))
        axes.append([round(i * (length - size) / max(1, count - 1)) for i in range(count)])
    return [(z, y, x) for z, y, x in itertools.product(*axes)]


def gaussian_weights(window: Triple, starts: Sequence[Triple], device: torch.device) -> torch.Tensor:
    """(z, y, x) weights, 1 at the centre and never 0; they fade along the axes on which windows overlap."""
    weights = torch.ones(window, device=device)
    for axis, length in enumerate(window):
        if len({start[axis] for start in starts}) == 1:
            continue
        position = torch.arange(length, device=device) - (length - 1) / 2
        shape = [1, 1, 1]
        shape[axis] = length
        weights = weights * torch.exp(-0.5 * (position / (length * SIGMA)) ** 2).view(shape)
    return weights.clamp(min=1e-4)


def _pad_to(image: torch.Tensor, window: Triple) -> tuple[torch.Tensor, Triple]:
    """The image repeated at its borders until it is as large as a window, and where the original starts.

    It lies as in training: the voxel ``n // 2`` of volume and window coincide.
    """
    before = [max(0, w // 2 - n // 2) if w > n else 0 for n, w in zip(image.shape[1:], window, strict=True)]
    after = [max(0, w - n - b) for n, w, b in zip(image.shape[1:], window, before, strict=True)]
    if any(before) or any(after):
        pads = [pad for pair in zip(reversed(before), reversed(after), strict=True) for pad in pair]
        image = functional.pad(image[None], pads, mode="replicate")[0]
    return image, (before[0], before[1], before[2])


def _pad_as_nnunet(image: torch.Tensor, window: Triple) -> tuple[torch.Tensor, Triple]:
    """``pad_nd_image``: zeros around the image, one more behind it where they cannot be shared equally."""
    missing = [max(0, w - n) for n, w in zip(image.shape[1:], window, strict=True)]
    before = [count // 2 for count in missing]
    pads = [pad for count, b in zip(reversed(missing), reversed(before), strict=True) for pad in (b, count - b)]
    return functional.pad(image, pads), (before[0], before[1], before[2])


def _starts_as_nnunet(shape: Sequence[int], window: Triple, overlap: float) -> list[Triple]:
    """``compute_steps_for_sliding_window``, where a step may also be half a voxel."""
    axes = []
    for length, size in zip(shape, window, strict=True):
        count = math.ceil((length - size) / (size * (1 - overlap))) + 1
        step = (length - size) / max(1, count - 1)
        axes.append([round(step * i) for i in range(count)])
    return [(z, y, x) for z, y, x in itertools.product(*axes)]


def _fade_as_nnunet(window: Triple, starts: Sequence[Triple], device: torch.device) -> torch.Tensor:
    """``compute_gaussian``: cut off 4 sigmas from the voxel ``n // 2``, in 16 bits, the smallest in place of 0."""
    weights = torch.full(window, HIGHEST, dtype=torch.float64)
    for axis, length in enumerate(window):
        position, sigma = torch.arange(length) - length // 2, length * SIGMA
        along = torch.exp(-0.5 * (position / sigma) ** 2) * (position.abs() <= int(4 * sigma + 0.5))
        weights = weights * along.view([-1 if one == axis else 1 for one in range(3)])
    rounded = weights.half()
    return torch.where(rounded == 0, rounded[rounded > 0].min(), rounded).float().to(device)


OWN = WindowLayout(pad=_pad_to, starts=window_starts, fade=gaussian_weights)
NNUNET = WindowLayout(pad=_pad_as_nnunet, starts=_starts_as_nnunet, fade=_fade_as_nnunet)
