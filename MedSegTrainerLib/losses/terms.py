"""The terms of losses, by their names in the training guide; ``config/loss_terms.py`` lists them.

Each is a formula of sums over voxels, a number for each sample (B,). The numbers are those of MONAI's losses
(Testing/library/losses/test_segmentation_loss.py); these share one softmax and one-hot, and so take two thirds of the
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.losses.class_sums import ClassSums

SMALLEST_SMOOTH = 1e-5  # MONAI's; with 0 a class that is neither there nor predicted would be 0 / 0
TINY = 1e-6  # instead of nothing, where a sample has no voxel that counts

Term = Callable[[ClassSums], torch.Tensor]


def dice_term(sums: ClassSums, smooth: float) -> torch.Tensor:
    """1 - Dice, averaged over the classes without background that somebody looked for in the sample.

    Dice = (2 |X and Y| + smooth) / (|X| + |Y| + smooth), with softmax probabilities for X
    (training guide, "Dice Loss"; Milletari et al. 2016). Like MONAI's DiceLoss without background. Where a sample lacks
    a class this is smooth / (|X| + smooth), whose gradient pushes the class away until |X| is far below ``smooth``
    voxels: with a small one, as by default here and in nnU-Net, that is next to nothing.
    """
    assert sums.overlap is not None and sums.predicted is not None
    smooth = max(smooth, SMALLEST_SMOOTH)
    dice = ((2 * sums.overlap + smooth) / (sums.predicted + sums.counts + smooth))[:, 1:]
    if sums.unknown is None:
        return 1 - dice.mean(1)
    known = ~sums.unknown[:, 1:]
    return known.any(1).to(dice) - (dice * known).sum(1) / known.sum(1).clamp(min=1)


def cross_entropy_term(sums: ClassSums, weights: torch.Tensor) -> torch.Tensor:
    """-log p of the true class, averaged over the voxels of a sample, each weighted by its class: ``weights`` (C,).

    Like PyTorch's cross_entropy of each sample.
    """
    assert sums.log_p is not None
    return -(sums.log_p * weights).sum(1) / (sums.counts * weights).sum(1).clamp(min=TINY)


def focal_term(sums: ClassSums, alpha: torch.Tensor) -> torch.Tensor:
    """-alpha (1 - p)^gamma log p of the true class, averaged over the voxels of a sample; ``alpha`` (C,) by class.

    Source: training guide, "Focal Loss"; Lin et al. 2017, doi:10.1109/ICCV.2017.324, with softmax. MONAI's
    FocalLoss with use_softmax divides by the number of classes too, and makes [1 - alpha, alpha, ...] of a number.
    """
    assert sums.focal is not None
    return -(sums.focal * alpha).sum(1) / sums.counts.sum(1).clamp(min=TINY)


def boundary_term(sums: ClassSums) -> torch.Tensor:
    """Probability times signed distance to the class's contour, summed over the classes without background and
    averaged over the voxels of a sample. It is below 0 for good predictions.

    Source: Kervadec et al. 2019, arXiv:1812.07032; for several classes doi:10.1016/j.media.2020.101851.
    """
    assert sums.surface is not None
    return sums.surface / sums.counts.sum(1).clamp(min=TINY)


def build_dice(config: LossConfig, classes: int, device: torch.device) -> Term:
    return lambda sums: dice_term(sums, config.smooth)


def build_cross_entropy(config: LossConfig, classes: int, device: torch.device) -> Term:
    assert config.class_weights != "auto"
    weights = by_class("class_weights", 1.0 if config.class_weights is None else config.class_weights, classes, device)
    return lambda sums: cross_entropy_term(sums, weights)


def build_focal(config: LossConfig, classes: int, device: torch.device) -> Term:
    alpha = by_class("alpha", config.alpha, classes, device)
    return lambda sums: focal_term(sums, alpha)


def build_boundary(config: LossConfig, classes: int, device: torch.device) -> Term:
    return boundary_term


def by_class(name: str, values: float | Sequence[float], classes: int, device: torch.device) -> torch.Tensor:
    """One number a class on the device; a single number is that of all."""
    listed = [float(values)] * classes if isinstance(values, (int, float)) else list(values)
    if len(listed) != classes:
        got, want = len(listed), classes
        raise ConfigError([f"loss.{name} has {got} numbers; background and {want - 1} classes need {want}."])
    return torch.tensor(listed, dtype=torch.float32, device=device)
