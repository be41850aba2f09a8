"""MixUp and CutMix: a training patch made of two.

MixUp (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) adds two images with weights that sum to 1 and
asks for both labels with the same weights. CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899)
replaces a box of image and label by that of another patch; not where no labelled voxel would be left of it.
"""

from __future__ import annotations

import numpy as np
import torch

MIXUP_ALPHA = 0.4  # of the Beta distribution of the weights: most mixtures are nearly one of the two
CUTMIX_ALPHA = 1.0  # of the share of the patch that is kept, as its authors chose

Batch = tuple[torch.Tensor, torch.Tensor] | tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]
"""Images (B, C, z, y, x) and class indices (B, z, y, x); after MixUp also the second labels and the first's weight."""


def mix(
    generator: np.random.Generator, images: torch.Tensor, labels: torch.Tensor, *, mixup: float, cutmix: float
) -> Batch:
    """The batch, with probability ``cutmix`` cut together and with ``mixup`` added up; each patch with the next one.

    A batch of one patch stays as it is: it has no other to be mixed with.
    """
    draws = generator.random(2)
    if len(images) < 2:
        return images, labels
    if draws[0] < cutmix:
        images, labels = _cut(generator, images, labels)
    if draws[1] < mixup:
        share = float(generator.beta(MIXUP_ALPHA, MIXUP_ALPHA))
        share = max(share, 1 - share)
        return images * share + images.roll(1, 0) * (1 - share), labels, labels.roll(1, 0), share
    return images, labels


def _cut(
    generator: np.random.Generator, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same box, of a random share of the patch and at a random place, from the next patch of the batch."""
    shape = labels.shape[1:]
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    edge = (1 - generator.beta(CUTMIX_ALPHA, CUTMIX_ALPHA)) ** (1 / len(axes))
    box = [slice(None)] * 3
    for axis in axes:
        length = round(edge * shape[axis])
        start = int(generator.integers(shape[axis] - length + 1))
        box[axis] = slice(start, start + length)
    in_images, in_labels = (slice(None), slice(None), *box), (slice(None), *box)
    mixed, mixed_labels = images.clone(), labels.clone()
    mixed[in_images] = images[in_images].roll(1, 0)
    mixed_labels[in_labels] = labels[in_labels].roll(1, 0)
    empty = (mixed_labels < 0).flatten(1).all(1).view(-1, 1, 1, 1)  # nothing of what is left was labelled
    return torch.where(empty[:, None], images, mixed), torch.where(empty, labels, mixed_labels)
