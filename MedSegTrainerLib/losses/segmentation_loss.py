"""Loss functions by their names in the training guide.

Logits are (B, C, *spatial), targets int (B, *spatial) with class indices; voxels whose target is below 0 do
not count. Everything is worked out in float32 at least, for each sample by itself, and then averaged over the
samples: four batches of two have the gradient of one batch of eight. The numbers are those of MONAI's losses
(Testing/library/test_losses.py); these share one softmax and one-hot, and so take two thirds of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean
from MedSegTrainerLib.losses.class_sums import ClassSums, class_sums
from MedSegTrainerLib.losses.distance_transform import signed_distances

SMALLEST_SMOOTH = 1e-5  # MONAI's; with 0 a class that is neither there nor predicted would be 0 / 0
SMALLEST_REGION = 0.01  # share that the boundary term leaves to the others (Kervadec et al. 2019)
TINY = 1e-6  # instead of nothing, where a sample has no voxel that counts
RAMP_END = 0.5  # share of the training in which it gets there

Term = Callable[[ClassSums], torch.Tensor]


# --- Terms: (B,), a number for each sample ---


def dice_term(sums: ClassSums, smooth: float) -> torch.Tensor:
    """1 - Dice, averaged over the classes without background.

    Dice = (2 |X and Y| + smooth) / (|X| + |Y| + smooth), with softmax probabilities for X
    (training guide, "Dice Loss"; Milletari et al. 2016). Like MONAI's DiceLoss without background.
    """
    assert sums.overlap is not None and sums.predicted is not None
    smooth = max(smooth, SMALLEST_SMOOTH)
    return 1 - ((2 * sums.overlap + smooth) / (sums.predicted + sums.counts + smooth))[:, 1:].mean(1)


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


def _dice(config: LossConfig, classes: int, device: torch.device) -> Term:
    return lambda sums: dice_term(sums, config.smooth)


def _cross_entropy(config: LossConfig, classes: int, device: torch.device) -> Term:
    assert config.class_weights != "auto"
    weights = _by_class("class_weights", 1.0 if config.class_weights is None else config.class_weights, classes, device)
    return lambda sums: cross_entropy_term(sums, weights)


def _focal(config: LossConfig, classes: int, device: torch.device) -> Term:
    alpha = _by_class("alpha", config.alpha, classes, device)
    return lambda sums: focal_term(sums, alpha)


def _boundary(config: LossConfig, classes: int, device: torch.device) -> Term:
    return boundary_term


TERMS: dict[str, Callable[[LossConfig, int, torch.device], Term]] = {
    "dice": _dice,
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "boundary": _boundary,
}


# --- The loss of a training step ---


class SegmentationLoss:
    """Scalar loss of a list of logits, full resolution first, against full-resolution targets.

    Lower resolutions weigh half of the one above (deep supervision, Lee et al. 2015; weights of nnU-Net), all
    weights add up to 1; the boundary term looks at full resolution alone.

    ``ramp`` is the share of the training that is done, 0 to 1: the boundary term grows with it
    (``ramped_weights``). At 0 it is not there at all, and no distances are worked out.
    """

    def __init__(
        self, weights: dict[str, float], terms: dict[str, Term], gamma: float, spacing: Sequence[float] | None
    ) -> None:
        self.weights, self.terms, self.gamma, self.spacing = weights, terms, gamma, spacing
        self.ramp = 0.0

    def __call__(self, logits: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        weights = ramped_weights(self.weights, self.ramp)
        boundary = weights.pop("boundary", 0.0)
        distances = self._distances(target, logits[0].shape[1]) if boundary else None
        total = torch.zeros((), device=target.device)
        shares = [0.5**level for level in range(len(logits))]
        for share, level in zip(shares, logits, strict=True):
            full = level is logits[0]
            sums = class_sums(
                level,
                _shrink(target, level.shape[2:]),
                overlap="dice" in weights,
                log_p="cross_entropy" in weights,
                gamma=self.gamma if "focal" in weights else None,
                distances=distances if full else None,
            )
            for name, weight in weights.items():
                total = total + share / sum(shares) * weight * self.terms[name](sums).mean()
            if full and boundary:
                total = total + boundary * self.terms["boundary"](sums).mean()
        return total

    def _distances(self, target: torch.Tensor, classes: int) -> torch.Tensor:
        """In units of the shortest edge of a voxel, so that they mean the same in micrometres and in centimetres."""
        dims = target.ndim - 1
        edges = [1.0] * dims if self.spacing is None else self.spacing[-dims:]
        return signed_distances(target, classes, [edge / min(edges) for edge in edges])


def build_loss(
    config: LossConfig, classes: int, device: torch.device, spacing: Sequence[float] | None = None
) -> SegmentationLoss:
    """The loss that ``config`` names; ``classes`` counts the background.

    spacing: of the voxels in mm (z, y, x), for the boundary term; None takes them for cubes. ``class_weights``
    must not be 'auto' any more (``balanced_weights``). Raises ConfigError for lists of another length than
    ``classes``, and for names that are no losses.
    """
    if config.loss_type == "auto" or config.class_weights == "auto":
        name = "loss_type" if config.loss_type == "auto" else "class_weights"
        raise ConfigError([f"loss.{name} = 'auto': planning must have resolved it."])
    weights = config.weights()
    for name in weights:
        if name not in TERMS:
            raise ConfigError([f"loss.loss_type = '{name}'.{did_you_mean(name, TERMS)}"])
    names = {*weights, "dice"} if set(weights) == {"boundary"} else set(weights)
    terms = {name: TERMS[name](config, classes, device) for name in names}
    return SegmentationLoss(weights, terms, config.gamma, spacing)


def ramped_weights(weights: dict[str, float], ramp: float) -> dict[str, float]:
    """Term to weight when the share ``ramp`` of the training is done.

    Alone from the start the boundary term ends in empty predictions. Its authors begin with the region terms
    alone and move weight over, a hundredth of it an epoch in 200 epochs, until a hundredth is left (Kervadec et
    al. 2019; strategy "rebalance" in doi:10.1016/j.media.2020.101851). Here the weights that were asked for are
    reached in the middle of the training, as there, and their sum stays the same all the time. Without a region
    term Dice is that, and keeps ``SMALLEST_REGION``.
    """
    boundary = weights.get("boundary", 0.0)
    region = {term: weight for term, weight in weights.items() if term != "boundary"}
    if not boundary:
        return region
    if not region:
        region, boundary = {"dice": SMALLEST_REGION * boundary}, (1 - SMALLEST_REGION) * boundary
    moved = min(1.0, ramp / RAMP_END) * boundary
    total = sum(region.values())
    return {**{term: weight * (total + boundary - moved) / total for term, weight in region.items()}, "boundary": moved}


def balanced_weights(shares: Sequence[float]) -> list[float]:
    """Class weights in inverse proportion to ``shares`` (of the voxels, background first), adding up to 1.

    King & Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868, which scikit-learn calls 'balanced': each class
    weighs the same in the whole data set. A class without any voxel weighs as much as the rarest that has some.
    """
    present = [share for share in shares if share > 0]
    if not present:
        return [1 / len(shares)] * len(shares)
    inverse = [1 / (share if share > 0 else min(present)) for share in shares]
    return [value / sum(inverse) for value in inverse]


def _by_class(name: str, values: float | Sequence[float], classes: int, device: torch.device) -> torch.Tensor:
    """One number a class on the device; a single number is that of all."""
    listed = [float(values)] * classes if isinstance(values, (int, float)) else list(values)
    if len(listed) != classes:
        got, want = len(listed), classes
        raise ConfigError([f"loss.{name} has {got} numbers; background and {want - 1} classes need {want}."])
    return torch.tensor(listed, dtype=torch.float32, device=device)


def _shrink(target: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Targets at a lower resolution: the voxel nearest to each centre."""
    for axis, (length, wanted) in enumerate(zip(target.shape[1:], size, strict=True), start=1):
        step = length // wanted
        if step > 1:
            target = target[(slice(None),) * axis + (slice(step // 2, None, step),)]
    return target
