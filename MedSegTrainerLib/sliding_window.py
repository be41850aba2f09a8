"""Whole volumes through a network that sees one window at a time; windows overlap and fade out at their borders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

Triple = tuple[int, int, int]
Network = Callable[[torch.Tensor], torch.Tensor]

SIGMA = 1 / 8  # of the window; nnU-Net's and MONAI's value
WHOLE_VOLUME = 2  # a volume of up to so many windows goes through in one piece


def predict_volume(
    image: torch.Tensor,
    network: Network,
    *,
    classes: int,
    patch: Triple,
    divisor: Triple,
    overlap: float,
    batch: int,
    is_fixed: bool = False,
    on_window: Callable[[int, int], None] = lambda done, total: None,
) -> torch.Tensor:
    """Logits (classes, z, y, x) of an image (C, z, y, x), both float32 on the network's device.

    network maps (B, C, z, y, x) to logits of the same size; ``is_fixed``: of the patch alone.
    ``on_window(done, total)`` is called as windows are finished.
    """
    shape = tuple(image.shape[1:])
    window = patch if is_fixed else choose_window(shape, patch, divisor)
    padded, offset = _pad_to(image, window)
    starts = window_starts(tuple(padded.shape[1:]), window, overlap)
    if len(starts) == 1:
        total = network(padded[None])[0].float()
        on_window(1, 1)
    else:
        total = _accumulate(padded, network, classes, window, starts, batch, on_window)
    return total[_place(offset, shape)]


def choose_window(shape: Sequence[int], patch: Triple, divisor: Triple) -> Triple:
    """The patch the network was trained on; for a volume hardly larger, the whole of it."""
    whole = [max(p, -(-n // d) * d) for n, p, d in zip(shape, patch, divisor, strict=True)]
    if whole[0] * whole[1] * whole[2] <= WHOLE_VOLUME * patch[0] * patch[1] * patch[2] and patch[0] > 1:
        return whole[0], whole[1], whole[2]
    return patch


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


def _accumulate(
    image: torch.Tensor,
    network: Network,
    classes: int,
    window: Triple,
    starts: list[Triple],
    batch: int,
    on_window: Callable[[int, int], None],
) -> torch.Tensor:
    total = torch.zeros((classes, *image.shape[1:]), device=image.device)
    weight = torch.zeros(image.shape[1:], device=image.device)
    fade = gaussian_weights(window, starts, image.device)
    for first in range(0, len(starts), batch):
        places = [_place(start, window) for start in starts[first : first + batch]]
        logits = network(torch.stack([image[place] for place in places])).float()
        for place, part in zip(places, logits, strict=True):
            total[place] += part * fade
            weight[place[1:]] += fade
        on_window(min(first + batch, len(starts)), len(starts))
    return total.div_(weight)


def _place(start: Triple, size: Sequence[int]) -> tuple[slice, ...]:
    """Index of a region of (C, z, y, x)."""
    return (slice(None), *(slice(s, s + w) for s, w in zip(start, size, strict=True)))


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
