"""Neighbouring slices as further channels, for 2D networks on volumes: a slice with what lies above and below it."""

from __future__ import annotations

import torch


def with_neighbours(image: torch.Tensor, count: int) -> torch.Tensor:
    """(C, z, y, x) to (C * (2 * count + 1), z, y, x): each channel from ``count`` slices below to as many above.

    Beyond the first and the last slice these are repeated. With ``count`` 0 it is the image itself.
    """
    if count == 0:
        return image
    indices = torch.arange(image.shape[1], device=image.device)
    last = image.shape[1] - 1
    shifted = [image[:, (indices + offset).clamp(0, last)] for offset in range(-count, count + 1)]
    return torch.stack(shifted, dim=1).flatten(0, 1)
