"""The loss of a training step: a weighted sum of the terms of ``terms.py``, over all resolutions of the network.

Logits are (B, C, *spatial), targets int (B, *spatial) with class indices; voxels whose target is below 0 do
not count, numbers beyond the classes are those of ``LabelCode`` (``marginal.py``). Everything is worked out in float32
at least, for each sample by itself, and then averaged over the samples: four batches of two have the gradient of one
batch of eight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pkgutil import resolve_name

import torch

from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.plan import LabelCode
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean
from MedSegTrainerLib.losses.class_sums import ClassSums, class_sums
from MedSegTrainerLib.losses.distance_transform import signed_distances
from MedSegTrainerLib.losses.marginal import merge_unknown, unknown_tables
from MedSegTrainerLib.losses.terms import Term

REGION = "dice"  # the term beside those that are ramped, where no other is asked for
SMALLEST_REGION = 0.01  # share that a ramped term leaves to it (Kervadec et al. 2019)
RAMP_END = 0.5  # share of the training in which it gets there


class SegmentationLoss:
    """Scalar loss of a list of logits, full resolution first, against full-resolution targets.

    Lower resolutions weigh half of the one above (deep supervision, Lee et al. 2015; weights of nnU-Net), all
    weights add up to 1; terms that are ramped, as the boundary term, look at full resolution alone.

    ``ramp`` is the share of the training that is done, 0 to 1: these terms grow with it (``ramped_weights``). At 0
    they are not there at all, and no distances are worked out.
    """

    def __init__(
        self,
        weights: dict[str, float],
        terms: dict[str, Term],
        gamma: float,
        spacing: Sequence[float] | None,
        unknown: Mapping[int, torch.Tensor] | None = None,
    ) -> None:
        """unknown: of ``unknown_tables``, where targets have numbers beyond the classes."""
        self.weights, self.terms, self.gamma, self.spacing = weights, terms, gamma, spacing
        self.unknown = unknown or {}
        self.ramp = 0.0

    def __call__(self, logits: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        weights = ramped_weights(self.weights, self.ramp)
        ramped = {name: weights.pop(name) for name in list(weights) if LOSS_TERMS[name].is_ramped}
        ramped = {name: weight for name, weight in ramped.items() if weight}
        total = torch.zeros((), device=target.device)
        shares = [0.5**level for level in range(len(logits))]
        for share, level in zip(shares, logits, strict=True):
            at_full = ramped if level is logits[0] else {}
            sums = self._sums(level, shrunk(target, level.shape[2:]), {*weights, *at_full})
            for name, weight in weights.items():
                total = total + share / sum(shares) * weight * self.terms[name](sums).mean()
            for name, weight in at_full.items():
                total = total + weight * self.terms[name](sums).mean()
        return total

    def _sums(self, logits: torch.Tensor, target: torch.Tensor, names: Collection[str]) -> ClassSums:
        needs = {need for name in names for need in LOSS_TERMS[name].needs}
        unknown = None
        if self.unknown and _may_be_unknown(target, logits.shape[1]):
            logits, target, unknown = merge_unknown(logits, target, self.unknown)
        return class_sums(
            logits,
            target,
            overlap="overlap" in needs,
            log_p="log_p" in needs,
            gamma=self.gamma if "focal" in needs else None,
            distances=self._distances(target, logits.shape[1], unknown) if "surface" in needs else None,
            unknown=unknown,
        )

    def _distances(self, target: torch.Tensor, classes: int, unknown: torch.Tensor | None) -> torch.Tensor:
        """In units of the shortest edge of a voxel, so that they mean the same in micrometres and in centimetres; 0 of
        classes that nobody looked for, as of those without contour."""
        dims = target.ndim - 1
        edges = [1.0] * dims if self.spacing is None else self.spacing[-dims:]
        distances = signed_distances(target, classes, [edge / min(edges) for edge in edges])
        if unknown is None:
            return distances
        return distances.masked_fill_(unknown[:, 1:].view(*unknown[:, 1:].shape, *[1] * dims), 0)


def build_loss(
    config: LossConfig,
    classes: int,
    device: torch.device,
    spacing: Sequence[float] | None = None,
    codes: Sequence[LabelCode] = (),
) -> SegmentationLoss:
    """The loss that ``config`` names; ``classes`` counts the background.

    spacing: of the voxels in mm (z, y, x), for the boundary term; None takes them for cubes. codes: what numbers of
    targets beyond the classes mean. ``class_weights`` must not be 'auto' any more (``balanced_weights``).
    Raises ConfigError for lists of another length than ``classes``, and for names that are no losses.
    """
    if config.loss_type == "auto" or config.class_weights == "auto":
        name = "loss_type" if config.loss_type == "auto" else "class_weights"
        raise ConfigError([f"loss.{name} = 'auto': planning must have resolved it."])
    weights = config.weights()
    for name in weights:
        if name not in LOSS_TERMS:
            raise ConfigError([f"loss.loss_type = '{name}'.{did_you_mean(name, LOSS_TERMS)}"])
    names = {*weights, REGION} if all(LOSS_TERMS[name].is_ramped for name in weights) else set(weights)
    terms: dict[str, Term] = {name: resolve_name(LOSS_TERMS[name].builder)(config, classes, device) for name in names}
    unknown = unknown_tables(codes, classes, device)
    return SegmentationLoss(weights, terms, config.gamma, spacing, unknown)


def ramped_weights(weights: dict[str, float], ramp: float) -> dict[str, float]:
    """Term to weight when the share ``ramp`` of the training is done; the terms that are ramped come last.

    Alone from the start the boundary term ends in empty predictions. Its authors begin with the region terms
    alone and move weight over, a hundredth of it an epoch in 200 epochs, until a hundredth is left (Kervadec et
    al. 2019; strategy "rebalance" in doi:10.1016/j.media.2020.101851). Here the weights that were asked for are
    reached in the middle of the training, as there, and their sum stays the same all the time. Without a region
    term Dice is that, and keeps ``SMALLEST_REGION``.
    """
    grown = {term: weight for term, weight in weights.items() if LOSS_TERMS[term].is_ramped}
    region = {term: weight for term, weight in weights.items() if term not in grown}
    if not grown:
        return region
    if not region:
        region = {REGION: SMALLEST_REGION * sum(grown.values())}
        grown = {term: (1 - SMALLEST_REGION) * weight for term, weight in grown.items()}
    now = {term: min(1.0, ramp / RAMP_END) * weight for term, weight in grown.items()}
    total = sum(region.values())
    left = total + sum(grown.values()) - sum(now.values())
    return {**{term: weight * left / total for term, weight in region.items()}, **now}


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


def _may_be_unknown(target: torch.Tensor, classes: int) -> bool:
    """Whether a target has numbers beyond the classes; on a GPU nobody waits for a look, and it may have."""
    return target.device.type != "cpu" or int(target.max()) >= classes


def shrunk(target: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Targets (B, *spatial) at a lower resolution, of this size: the voxel nearest to each centre."""
    for axis, (length, reduced) in enumerate(zip(target.shape[1:], size, strict=True), start=1):
        step = length // reduced
        if step > 1:
            target = target[(slice(None),) * axis + (slice(step // 2, None, step),)]
    return target
