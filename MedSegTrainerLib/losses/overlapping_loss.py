"""The loss where a voxel may have several classes: each class against all else, with a sigmoid of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from MedSegTrainerLib.config.plan import LabelCode
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.losses.segmentation_loss import SegmentationLoss, build_loss


class OverlappingLoss:
    """Mean over the classes of ``SegmentationLoss`` with two classes, all else and this one.

    sigmoid(z) is the softmax of the logits 0 and z, so every term means what it means without overlap. Logits are
    (B, classes, *spatial), full resolution first; targets are numbers of prepared labels (B, *spatial). Voxels at which
    a class is unknown do not count for it. ramp: as that of ``SegmentationLoss``.
    """

    def __init__(self, losses: Sequence[SegmentationLoss], table: torch.Tensor) -> None:
        """table: of ``state_table``."""
        self.losses, self.table = losses, table

    @property
    def ramp(self) -> float:
        return self.losses[0].ramp

    @ramp.setter
    def ramp(self, share: float) -> None:
        for loss in self.losses:
            loss.ramp = share

    def __call__(self, logits: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        states = self.table[target.long() + 1]
        total = torch.zeros((), device=target.device)
        for index, loss in enumerate(self.losses):
            pairs = [torch.stack([torch.zeros_like(level[:, index]), level[:, index]], dim=1) for level in logits]
            total = total + loss(pairs, states[..., index])
        return total / len(self.losses)


def build_overlapping_loss(
    config: LossConfig,
    classes: int,
    device: torch.device,
    spacing: Sequence[float] | None = None,
    codes: Sequence[LabelCode] = (),
) -> OverlappingLoss:
    """The loss that ``config`` names; ``classes`` does not count the background.

    A class's weight is that of its voxels, the background's that of all others. Raises ConfigError as ``build_loss``.
    """
    build_loss(config, classes + 1, device)  # lists of the right length
    losses = [build_loss(_of_class(config, index), 2, device, spacing) for index in range(1, classes + 1)]
    return OverlappingLoss(losses, state_table(codes, classes, device))


def state_table(codes: Sequence[LabelCode], classes: int, device: torch.device) -> torch.Tensor:
    """For each number of a prepared label, -1 first, what it says of each class: 1 there, 0 not there, -1 unknown;
    int16 (2 + classes + codes, classes)."""
    table = torch.zeros((2 + classes + len(codes), classes), dtype=torch.int16)
    table[0] = -1
    table[2 : 2 + classes].fill_diagonal_(1)
    for row, code in zip(table[2 + classes :], codes, strict=True):
        row[[index - 1 for index in code.present]] = 1
        row[[index - 1 for index in code.unknown]] = -1
    return table.to(device)


def _of_class(config: LossConfig, index: int) -> LossConfig:
    lists = {name: getattr(config, name) for name in ("class_weights", "alpha")}
    pairs: dict[str, Any] = {
        name: [value[0], value[index]] for name, value in lists.items() if isinstance(value, (list, tuple))
    }
    return replace(config, **pairs)
