"""Dice on whole held-out volumes while training: per class and per case, on the network's grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from MedSegTrainerLib.data.cache import CachedCase
from MedSegTrainerLib.device import Precision
from MedSegTrainerLib.metrics import dice_from_counts
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.plan import Plan
from MedSegTrainerLib.sliding_window import predict_volume
from MedSegTrainerLib.step import to_channels_last

OVERLAP = 0.25  # less than when applying: half the time, nearly the same Dice

CaseDice = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class HeldOutDice:
    """``per_class``: mean over the cases that have the class, None where no case has it."""

    per_case: dict[str, CaseDice]
    per_class: CaseDice
    mean: float
    zero_classes: tuple[str, ...]


class HeldOut:
    """Held-out cases and a copy of the network to judge weights with."""

    def __init__(self, cases: Sequence[CachedCase], plan: Plan, device: torch.device) -> None:
        self.cases, self.plan, self.device = cases, plan, device
        self.network = build_network(plan.architecture, plan.network).to(device).eval()
        if plan.channels_last:
            self.network = to_channels_last(self.network, plan.dims)
        self.precision = Precision(device, plan.mixed_precision)

    @torch.inference_mode()
    def judge(self, weights: dict[str, torch.Tensor], on_case: Callable[[], None] = lambda: None) -> HeldOutDice:
        """Dice of these weights; ``on_case`` is called after each case."""
        self.network.load_state_dict(weights)
        forward = window_forward(self.network, self.plan, self.precision)
        per_case = {}
        for case in self.cases:
            logits = predict_volume(
                case.image.to(self.device, torch.float32),
                forward,
                classes=len(self.plan.classes) + 1,
                patch=self.plan.patch_size,
                divisor=network_divisor(self.plan),
                overlap=OVERLAP,
                batch=self.plan.batch_size,
            )
            per_case[case.name] = self._case_dice(logits.argmax(dim=0), case.label.to(self.device))
            on_case()
        return summarise(per_case, self.plan.class_names)

    def _case_dice(self, predicted: torch.Tensor, reference: torch.Tensor) -> CaseDice:
        count = len(self.plan.classes) + 1
        joint = torch.bincount((reference.long() * count + predicted).flatten(), minlength=count * count)
        table = joint.view(count, count).tolist()  # rows: reference, columns: prediction
        return {
            name: dice_from_counts(table[i][i], sum(row[i] for row in table), sum(table[i]))
            for i, name in enumerate(self.plan.class_names, start=1)
        }


def summarise(per_case: dict[str, CaseDice], classes: Sequence[str]) -> HeldOutDice:
    """Means over cases, then over classes: a class that is never found pulls the mean down, not out of sight."""
    per_class: CaseDice = {}
    for name in classes:
        values = [dice[name] for dice in per_case.values()]
        known = [value for value in values if value is not None]
        per_class[name] = sum(known) / len(known) if known else None
    means = [value for value in per_class.values() if value is not None]
    return HeldOutDice(
        per_case=per_case,
        per_class=per_class,
        mean=sum(means) / len(means) if means else 0.0,
        zero_classes=tuple(name for name, value in per_class.items() if value == 0),
    )


def window_forward(network: nn.Module, plan: Plan, precision: Precision) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network as a function of (B, C, z, y, x) windows to full-resolution logits (B, classes, z, y, x)."""
    memory = torch.channels_last_3d if plan.dims == 3 else torch.channels_last

    def forward(images: torch.Tensor) -> torch.Tensor:
        flat = images[:, :, 0] if plan.dims == 2 else images
        if plan.channels_last:
            flat = flat.contiguous(memory_format=memory)
        with precision.forward():
            logits: torch.Tensor = network(flat)[0]
        return logits[:, :, None] if plan.dims == 2 else logits

    return forward


def network_divisor(plan: Plan) -> tuple[int, int, int]:
    """What each axis (z, y, x) of a window must be a multiple of."""
    strides = plan.network["strides"]
    product = [1] * (3 - len(strides[0])) + [1] * len(strides[0])
    for stride in strides:
        for axis, step in enumerate(stride, start=3 - len(stride)):
            product[axis] *= step
    return product[0], product[1], product[2]
