"""Loss functions by their names in the training guide.

Logits are (B, C, *spatial), targets int (B, *spatial) with class indices; voxels whose target is
-1 do not count. Everything is worked out in float32, whatever the network computed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from MedSegTrainerLib.config import LossConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def dice_term(log_probabilities: torch.Tensor, target: torch.Tensor, smooth: float) -> torch.Tensor:
    """1 - Dice, averaged over the classes without background; sums run over the whole batch.

    Dice = (2 |X and Y| + smooth) / (|X| + |Y| + smooth), with softmax probabilities for X
    (training guide, "Dice Loss"; Milletari et al. 2016).
    """
    valid = target >= 0
    classes = log_probabilities.shape[1]
    axes = [0, *range(2, log_probabilities.ndim)]
    probabilities = log_probabilities[:, 1:].exp() * valid[:, None]
    wanted = target[:, None] == torch.arange(1, classes, device=target.device).view(1, -1, *[1] * (target.ndim - 1))
    overlap = (probabilities * wanted).sum(axes)
    total = probabilities.sum(axes) + wanted.sum(axes)
    return 1 - ((2 * overlap + smooth) / (total + smooth).clamp(min=1e-6)).mean()


def cross_entropy_term(
    log_probabilities: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """-log p of the true class, averaged (weighted by class where ``weights`` are given) over the valid voxels."""
    summed = functional.nll_loss(log_probabilities, target.long(), weight=weights, ignore_index=-1, reduction="sum")
    valid = target >= 0
    total = valid.sum() if weights is None else weights[target[valid].long()].sum()
    return summed / total.clamp(min=1e-6)


def _dice(config: LossConfig, weights: torch.Tensor | None) -> Loss:
    return lambda log_p, target: dice_term(log_p, target, config.smooth)


def _cross_entropy(config: LossConfig, weights: torch.Tensor | None) -> Loss:
    return lambda log_p, target: cross_entropy_term(log_p, target, weights)


def _combined(config: LossConfig, weights: torch.Tensor | None) -> Loss:
    return lambda log_p, target: (
        config.dice_weight * dice_term(log_p, target, config.smooth)
        + config.ce_weight * cross_entropy_term(log_p, target, weights)
    )


LOSSES: dict[str, Callable[[LossConfig, torch.Tensor | None], Loss]] = {
    "dice": _dice,
    "cross_entropy": _cross_entropy,
    "combined": _combined,
}


def build_loss(
    config: LossConfig, classes: int, device: torch.device
) -> Callable[[Sequence[torch.Tensor], torch.Tensor], torch.Tensor]:
    """The loss of a list of logits, full resolution first, against full-resolution targets.

    ``classes`` counts the background. Lower resolutions weigh half of the one above (deep
    supervision, Lee et al. 2015; weights of nnU-Net), all weights add up to 1.
    """
    if config.loss_type not in LOSSES:
        raise ConfigError([f"loss.loss_type = '{config.loss_type}'.{did_you_mean(config.loss_type, LOSSES)}"])
    weights = None
    if config.class_weights is not None:
        if len(config.class_weights) != classes:
            got, want = len(config.class_weights), classes
            raise ConfigError([f"loss.class_weights has {got} numbers; background and {want - 1} classes need {want}."])
        weights = torch.tensor(config.class_weights, device=device)
    single = LOSSES[config.loss_type](config, weights)

    def loss(logits: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        shares = [0.5**level for level in range(len(logits))]
        total = torch.zeros((), device=target.device)
        for share, level in zip(shares, logits, strict=True):
            log_p = functional.log_softmax(level.float(), dim=1)
            total = total + share / sum(shares) * single(log_p, _shrink(target, level.shape[2:]))
        return total

    return loss


def _shrink(target: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Targets at a lower resolution: the voxel nearest to each centre."""
    for axis, (length, wanted) in enumerate(zip(target.shape[1:], size, strict=True), start=1):
        step = length // wanted
        if step > 1:
            target = target[(slice(None),) * axis + (slice(step // 2, None, step),)]
    return target
