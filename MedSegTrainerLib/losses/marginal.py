"""Classes that nobody looked for: what a voxel that was left free may be, they share with the background.

A voxel that nobody gave a class, of a case in which the classes U were not looked for, may be background or any of U.
Its likelihood is the sum of their probabilities, p_0 + sum of p_u for u in U, and the classes of U have no probability
of their own there. All losses are then those of the remaining classes: cross-entropy and focal loss of the summed
probability, Dice and boundary loss of the classes that were looked for (Shi et al. 2021, "Marginal loss and exclusion
loss for partially supervised multi-organ segmentation", doi:10.1016/j.media.2021.101979; Fidon et al. 2021,
"Label-set loss functions for partial supervision", doi:10.1007/978-3-030-87196-3_60).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from MedSegTrainerLib.config.plan import LabelCode

NOWHERE = -1e9  # a logit whose probability is 0, and whose products with 0 are numbers


def unknown_tables(codes: Sequence[LabelCode], classes: int, device: torch.device) -> dict[int, torch.Tensor]:
    """For each class that is unknown somewhere: by number of a prepared label, whether a voxel of it may be this class
    beside the background, bool (classes + codes,); ``classes`` counts the background."""
    tables = {index: torch.zeros(classes + len(codes), dtype=torch.bool) for code in codes for index in code.unknown}
    for number, code in enumerate(codes, start=classes):
        for index in code.unknown:
            tables[index][number] = True
    return {index: tables[index].to(device) for index in sorted(tables)}


def merge_unknown(
    logits: torch.Tensor, target: torch.Tensor, tables: Mapping[int, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (B, C, *spatial) in which the background has the probability of all that may be at a voxel and these
    classes none; the target with background there; and which classes are unknown in each sample, bool (B, C).

    target: numbers of prepared labels (B, *spatial), below 0 where nobody labelled. tables: of ``unknown_tables``. The
    softmax of the logits is that of before, with the probabilities put together: log p_0 becomes
    log(p_0 + sum of p_u).
    """
    numbers = target.clamp(min=0).long()
    free = {index: table[numbers] for index, table in tables.items()}
    unknown = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
    for index, where in free.items():
        unknown[:, index] = where.flatten(1).any(1)
    exact = logits if logits.dtype == torch.float64 else logits.float()
    merged: torch.Tensor = _Merged.apply(exact, *free, *free.values())  # type: ignore[no-untyped-call]
    return merged, torch.where(target >= logits.shape[1], torch.zeros_like(target), target), unknown


class _Merged(torch.autograd.Function):
    """Written by hand for the memory: PyTorch's own way keeps some tensors as large as the logits."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, *classes: Any) -> torch.Tensor:
        """classes: indices of classes, and then for each where it may be (B, *spatial)."""
        merged = logits.clone(memory_format=torch.contiguous_format)
        background = merged[:, 0]
        ctx.free = dict(zip(classes[: len(classes) // 2], classes[len(classes) // 2 :], strict=True))
        for index, where in ctx.free.items():
            torch.where(where, torch.logaddexp(background, logits[:, index]), background, out=background)
            merged[:, index].masked_fill_(where, NOWHERE)
        ctx.save_for_backward(logits, merged)
        return merged

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """d log(sum of p) / d log p_k is the share of p_k in the sum."""
        logits, merged = ctx.saved_tensors
        background, result = merged[:, 0], grad.clone(memory_format=torch.contiguous_format)
        for index, where in ctx.free.items():
            share = (logits[:, index] - background).exp_().mul_(grad[:, 0])
            torch.where(where, share, grad[:, index], out=result[:, index])
        result[:, 0] *= (logits[:, 0] - background).exp_()
        return result, *(None for _ in range(2 * len(ctx.free)))
