"""Prepared labels and logits of classes that overlap, counted class by class: each is there or not, whatever else is.

There is no confusion table of such classes: what is taken for what has no answer where a voxel may be several things.
"""

from __future__ import annotations

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.imaging.class_bits import IGNORED, class_bit

Table = list[list[int]]


def binary_tables(logits: torch.Tensor, reference: torch.Tensor, states: torch.Tensor) -> tuple[Table, ...]:
    """For each class voxels without and with it in the reference (rows) and the prediction (columns).

    logits: (classes, z, y, x), a class is predicted above 0. reference: numbers of prepared labels (z, y, x). states:
    of ``overlapping_loss.state_table``; voxels at which a class is unknown do not count for it.
    """
    rows = reference.long() + 1
    tables = []
    for index, of_class in enumerate(logits):
        state = states[:, index][rows].long()
        joint = torch.bincount(((state + 1) * 2 + (of_class > 0)).flatten(), minlength=6)
        tables.append(joint.view(3, 2)[1:].tolist())
    return tuple(tables)


def predicted_bits(logits: torch.Tensor) -> torch.Tensor:
    """``class_bits`` (z, y, x) of logits (classes, z, y, x): the classes whose probability is above one half."""
    bits = torch.zeros(logits.shape[1:], dtype=torch.int32, device=logits.device)
    for index, of_class in enumerate(logits, start=1):
        bits += (of_class > 0) * class_bit(index)
    return bits


def label_bits(label: torch.Tensor, plan: Plan) -> torch.Tensor:
    """``class_bits`` of numbers of prepared labels; of classes that nobody looked for nothing."""
    present = plan.present_classes()
    bits = [IGNORED, *(sum(class_bit(index) for index in present[number]) for number in sorted(present))]
    return torch.tensor(bits, dtype=torch.int32, device=label.device)[(label.to(torch.int16) + 1).long()]
