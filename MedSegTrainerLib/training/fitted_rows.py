"""Rows of the last layer for classes that are new to a model: a logistic regression on the maps before that layer.

A row of noise says nothing of the class. Where it begins it has to stay far below all others so as not to disturb
them, twenty logits and more, and the network takes longer to climb out of that than the training lasts: with larynx
and oesophagus as new classes of head-neck, Dice was 0 after three minutes. A linear layer that was fitted to the maps
of the trained network first also leaves these as they are (Kumar et al. 2022, "Fine-tuning can distort pretrained
features and underperform out-of-distribution", https://arxiv.org/abs/2202.10054).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from MedSegTrainerLib.model.origins import Origins

RIDGE = 1e-3  # on weights of maps that have a deviation of 1
FIT_STEPS = 100
MOST_VOXELS = 4000  # of a batch, of the class and of all else
FEWEST = 20  # voxels of the class; with fewer nothing is fitted


@dataclass(kw_only=True)
class SeenVoxels:
    """Voxels of real patches at which it is known whether a class is there; lists of a tensor a batch.

    maps: float (voxels, maps) before the last layer. offsets: the logit of the background less that of all classes the
    model knows together; 0 where each class has a sigmoid of its own. there: bool. counts: how many voxels each stands
    for.
    """

    maps: list[torch.Tensor] = field(default_factory=list)
    offsets: list[torch.Tensor] = field(default_factory=list)
    there: list[torch.Tensor] = field(default_factory=list)
    counts: list[torch.Tensor] = field(default_factory=list)

    def add(
        self,
        maps: torch.Tensor,
        offsets: torch.Tensor,
        labels: torch.Tensor,
        having: Collection[int],
        unknown: Collection[int],
    ) -> None:
        """Takes some voxels of a batch: maps (B, maps, *spatial), offsets and labels (B, *spatial).

        having, unknown: numbers of prepared labels with which the class is there, or nobody knows.
        """
        flat, rows = labels.flatten(), maps.movedim(1, -1).flatten(0, -2)
        there = torch.isin(flat, torch.tensor(sorted(having), dtype=flat.dtype))
        known = (flat >= 0) & ~torch.isin(flat, torch.tensor(sorted(unknown), dtype=flat.dtype))
        for mask in (there, known & ~there):
            places = mask.nonzero()[:, 0]
            step = max(1, -(-len(places) // MOST_VOXELS))
            chosen = places[::step]
            self.maps.append(rows[chosen].double())
            self.offsets.append(offsets.flatten()[chosen].double())
            self.there.append(there[chosen])
            self.counts.append(torch.full((len(chosen),), float(step), dtype=torch.float64))


def offsets_of_known(logits: torch.Tensor, origins: Origins, *, overlapping: bool) -> torch.Tensor:
    """``SeenVoxels.offsets`` (B, *spatial) of logits (B, out_channels, *spatial) of the network that begins."""
    if overlapping:
        return torch.zeros_like(logits[:, 0])
    known = [0, *(place for place, sources in enumerate(origins.classes, start=1) if sources)]
    return logits[:, 0] - logits[:, known].logsumexp(1)


def with_rows(
    weights: Mapping[str, torch.Tensor], rows: Mapping[str, Mapping[int, torch.Tensor | None]], *, overlapping: bool
) -> dict[str, torch.Tensor]:
    """The weights with other rows of last layers: for each layer, class (0 the first) to what ``fitted_row`` gave."""
    result = dict(weights)
    for layer, of_layer in rows.items():
        weight, bias = weights[f"{layer}.weight"].clone(), weights[f"{layer}.bias"].clone()
        for place, row in of_layer.items():
            if row is None:
                continue
            index = place if overlapping else place + 1
            weight[index] = row[:-1].reshape(weight[0].shape).to(weight) + (0 if overlapping else weight[0])
            bias[index] = row[-1].to(bias) + (0 if overlapping else bias[0])
        result |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
    return result


def fitted_row(seen: SeenVoxels) -> torch.Tensor | None:
    """What to add to the background's row, float64 (maps + 1,) with the bias last; None where too little was seen.

    With h the maps, o the offset and n the counts it minimises the cross-entropy of sigmoid(w h + b + o), each voxel
    weighted by n, and RIDGE |w s|^2 with the deviations s of the maps: the probability of the class beside those that
    the model knows, in a softmax with all of them.
    """
    if not seen.there or int(torch.cat(seen.there).sum()) < FEWEST:
        return None
    maps, offset, counts = torch.cat(seen.maps), torch.cat(seen.offsets), torch.cat(seen.counts)
    target, share = torch.cat(seen.there).double(), counts / counts.sum()
    middle = share @ maps
    deviation = (share @ (maps - middle).square()).sqrt().clamp(min=1e-6)
    scaled = (maps - middle) / deviation
    answer = torch.zeros(maps.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([answer], max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logit = scaled @ answer[:-1] + answer[-1] + offset
        loss = functional.binary_cross_entropy_with_logits(logit, target, weight=share, reduction="sum")
        loss = loss + RIDGE * (share @ target) * answer[:-1].square().sum()
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    row = answer.detach()
    weights = row[:-1] / deviation
    return torch.cat([weights, (row[-1] - weights @ middle)[None]])
