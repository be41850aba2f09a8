"""Classes that nobody looked for: what a voxel that was left free may be, they share with the background.

A voxel that nobody gave a class, of a case in which the classes U were not looked for, may be background or any of U.
Its likelihood is the sum of their probabilities, p_0 + sum of p_u for u in U, and the classes of U have no probability
of their own there. All losses are then those of the remaining classes: cross-entropy and focal loss of the summed
probability, Dice and boundary loss of the classes that were looked for (Shi et al. 2021, "Marginal loss and exclusion
loss for partially supervised multi-organ segmentation", doi:10.1016/j.media.2021.101979; Fidon et al. 2021,
"Label-set loss functions for partial supervision", doi:10.1007/978-3-030-87196-3_60).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from MedSegTrainerLib.config.plan import LabelCode

NOWHERE = -1e9  # a logit whose probability is 0, and whose products with 0 are numbers


def unknown_table(codes: Sequence[LabelCode], classes: int, device: torch.device) -> torch.Tensor:
    """For each number of a prepared label, 0 first, which classes may be there beside the background: bool
    (classes + codes, classes); ``classes`` counts the background."""
    table = torch.zeros((classes + len(codes), classes), dtype=torch.bool)
    for row, code in zip(table[classes:], codes, strict=True):
        row[list(code.unknown)] = True
    return table.to(device)


def merge_unknown(
    logits: torch.Tensor, target: torch.Tensor, table: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (B, C, *spatial) in which the background has the probability of all that may be at a voxel and these
    classes none; the target with background there; and which classes are unknown in each sample, bool (B, C).

    target: numbers of prepared labels (B, *spatial), below 0 where nobody labelled. table: of ``unknown_table``. The
    softmax of the logits is that of before, with the probabilities put together: log p_0 becomes
    log(p_0 + sum of p_u).
    """
    exact = logits if logits.dtype == torch.float64 else logits.float()
    unknown = table[target.clamp(min=0).long()].movedim(-1, 1)
    together = unknown.clone()
    together[:, 0] = True
    background = torch.where(together, exact, -torch.inf).logsumexp(1, keepdim=True)
    merged = torch.cat([background, exact[:, 1:].masked_fill(unknown[:, 1:], NOWHERE)], dim=1)
    known_target = torch.where(target >= logits.shape[1], torch.zeros_like(target), target)
    return merged, known_target, unknown.flatten(2).any(-1)
