"""The weights that a training begins with: those of a trained model, for other channels and other classes.

A logit is a row of the last layer times the maps before it, z_c = w_c x + b_c, and z_0 is that of the background. Where
each class has a sigmoid of its own, z_0 is 0: sigmoid(z) is the softmax of 0 and z. Rows are therefore taken relative
to the background's, r_c = z_c - z_0, and put together anew:

- a class that stays, or has another name, keeps its row;
- a new class gets the row that tells it best from real patches (``fitted_rows``). Where none can be fitted it begins as
  the background, which its voxels were to the model before (Cermelli et al. 2020, https://arxiv.org/abs/2002.00718, who
  divide the background evenly), with a bias m below it and noise u as a row: z = z_0 - m + u x. m is the logarithm of
  the odds of its voxels, or more where the noise would be seen (``seen_above``);
- a class that is divided among k gives each its row with log k less, so that their probabilities add up to its own,
  and noise of its own;
- classes that become one have a logit log(sum exp z_c), which is no row. ``stand_in`` finds the nearest one;
- the row of a class that nothing comes from goes.

The noise is as large as a row. Two classes with the same row send the same gradient into the network wherever one of
them should be and not the other, (p - y) w, so that it learns nothing that tells them apart: with a thousandth of the
noise hippocampus, divided in two, took 60 steps to come apart instead of 30, and a new class beside it as much longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.model.origins import Origins
from MedSegTrainerLib.networks.state_shapes import state_shapes
from MedSegTrainerLib.networks.varying_axes import varying_axes

Weights = Mapping[str, torch.Tensor]
NOISE = 1.0  # of the deviation of the rows of classes
SLACK = 1.0  # logit that a new class stays below all others
RIDGE = 1e-4
FIT_STEPS = 200
SEED = 0


@dataclass(frozen=True, kw_only=True)
class MergedRow:
    """A row as the background's, plus a combination of the classes' rows relative to it, plus a bias."""

    coefficients: torch.Tensor  # (classes of the model,), float64
    bias: float


def with_channels(weights: Weights, old: Plan, plan: Plan, origins: Origins) -> dict[str, torch.Tensor]:
    """The weights of a model for the channels of ``plan``: a new channel has the weight 0, one that is gone none.

    Neighbouring slices are channels too; those that the model did not see are new ones.
    """
    parameters = {**old.network, "in_channels": len(old.channel_names) * (1 + 2 * old.neighbour_slices)}
    result = dict(weights)
    order = _channel_order(old, plan, origins)
    if order == list(range(parameters["in_channels"])):
        return result
    for name in varying_axes(old.architecture, parameters, "in_channels"):
        result[name] = _selected(weights[name], order, 1)
    return result


def with_classes(
    weights: Weights,
    old: Plan,
    plan: Plan,
    origins: Origins,
    *,
    margins: Sequence[Sequence[float]],
    merged: Sequence[Mapping[int, MergedRow]],
    fresh: Weights,
) -> dict[str, torch.Tensor]:
    """The weights of a model for the classes of ``plan``.

    For each level of logits, full resolution first, or one for all of them: margins, the logit that each class is below
    the background if it is new; merged, the row of each class (0 the first) that comes from several. fresh: weights of
    a network that was never trained, for what has none.
    """
    result = dict(weights)
    layers, hidden = last_layers(old)
    order = _hidden_order(weights, layers, old.out_channels, plan.out_channels) if hidden else []
    for name in hidden:
        beginning = fresh[name].to(weights[name]) if name in fresh else None
        result[name] = _selected(weights[name], order, 0, beginning)
    for level, layer in enumerate(layers):
        weight, bias = weights[f"{layer}.weight"], weights.get(f"{layer}.bias")
        if hidden:
            weight = _selected(weight, order, 1)
        columns = [weight.flatten(1).double()] + ([] if bias is None else [bias.double()[:, None]])
        of_level = merged[min(level, len(merged) - 1)] if merged else {}
        below = margins[min(level, len(margins) - 1)]
        rows = _new_rows(torch.cat(columns, dim=1), old, plan, origins, below, of_level, has_bias=bias is not None)
        kept = rows[:, : weight[0].numel()].reshape(-1, *weight.shape[1:])
        result[f"{layer}.weight"] = kept.to(weight.dtype)
        if bias is not None:
            result[f"{layer}.bias"] = rows[:, -1].to(bias.dtype)
    return result


def stand_in(relative: torch.Tensor, sources: Sequence[int], origins: Origins, *, overlapping: bool) -> MergedRow:
    """The row that comes nearest to the logit log(sum exp r_c) of classes that become one.

    relative: logits relative to the background's, (voxels, classes of the model), of real images. ``sources`` count
    from 1. It minimises the mean cross-entropy of the class's probability under the row against that under the exact
    logit, with the other classes as they are:

        p* = sigmoid(log sum_s exp(r_s) - l),  p = sigmoid(a r + b - l),  l = log(1 + sum_{c not s} exp(r_c))

    over a and b, which is convex: a logistic regression with the offset -l (Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531, for soft targets). In the middle of each source its own r_s is high and the others
    are low, so their sum is above a threshold there and below it in the background: a sum and a bias can do what no
    mean can.
    """
    relative, shares = relative.double(), origins.shares
    chosen = torch.tensor([index - 1 for index in sources])
    less = torch.tensor([float(shares[index]) for index in sources], dtype=torch.float64).log()
    exact = (relative[:, chosen] - less).logsumexp(1)
    others = [index - 1 for index in shares if index not in sources]
    rest = torch.zeros(len(relative), 1, dtype=torch.float64)
    offset = rest[:, 0] if overlapping else torch.cat([rest, relative[:, others]], dim=1).logsumexp(1)
    target = torch.sigmoid(exact - offset)
    begin = torch.zeros(relative.shape[1] + 1, dtype=torch.float64)
    begin[chosen] = 1.0
    answer = begin.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([answer], max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logit = relative @ answer[:-1] + answer[-1] - offset
        loss = functional.binary_cross_entropy_with_logits(logit, target)
        loss = loss + RIDGE * (answer - begin).square()[:-1].sum()
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    found = answer.detach()
    return MergedRow(coefficients=found[:-1], bias=float(found[-1]))


def seen_above(logits: torch.Tensor, origins: Origins, *, overlapping: bool) -> list[float]:
    """For each class that is new, by how much its logit has to fall so that it is nowhere the highest; 0 for others.

    logits: of the network that begins, (B, out_channels, *spatial), on real images.
    """
    rows = logits.movedim(1, -1).flatten(0, -2)
    classes = rows if overlapping else rows[:, 1:]
    old = torch.tensor([bool(sources) for sources in origins.classes])
    others = torch.cat([torch.zeros_like(rows[:, :1]) if overlapping else rows[:, :1], classes[:, old]], dim=1)
    above = (classes - (others[:, :1] if overlapping else others.max(1, keepdim=True).values)).max(0).values + SLACK
    return [0.0 if is_old else max(0.0, float(value)) for is_old, value in zip(old, above, strict=True)]


def relative_logits(logits: torch.Tensor, plan: Plan) -> torch.Tensor:
    """(B, out_channels, *spatial) of a model with this plan to (voxels, classes), relative to the background's."""
    rows = logits.movedim(1, -1).flatten(0, -2).double()
    return rows if plan.overlapping else rows[:, 1:] - rows[:, :1]


def fitting(weights: Weights, fresh: Weights) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The weights of a network, and the names of those that are ``fresh``: others have no place in it, or
    another shape."""
    names = [name for name, value in fresh.items() if name not in weights or weights[name].shape != value.shape]
    return {name: value if name in names else weights[name] for name, value in fresh.items()}, names


def unfitting(old: Plan, architecture: str, parameters: Mapping[str, Any]) -> tuple[list[str], int, int]:
    """Names of the weights of a network that those of a model have not the shape of, with as many channels and classes;
    how many numbers the layers among the others have; and how many all layers have."""
    there = {name: parameters[name] for name in ("in_channels", "out_channels")}
    before = state_shapes(old.architecture, {**old.network, **there})
    now = state_shapes(architecture, parameters)
    new = [name for name, shape in now.items() if before.get(name) != shape]
    sizes = {name: torch.Size(shape).numel() for name, (shape, _) in now.items() if len(shape) > 1}
    return new, sum(size for name, size in sizes.items() if name not in new), sum(sizes.values())


def _channel_order(old: Plan, plan: Plan, origins: Origins) -> list[int | None]:
    """For each channel that the network of ``plan`` sees, that of the model; those of a slice follow each other."""
    seen, width = old.neighbour_slices, len(old.channel_names)
    order: list[int | None] = []
    for slice_offset in range(-plan.neighbour_slices, plan.neighbour_slices + 1):
        for source in origins.channels:
            is_there = source is not None and abs(slice_offset) <= seen
            order.append((slice_offset + seen) * width + source if is_there and source is not None else None)
    return order


def last_layers(old: Plan) -> tuple[list[str], list[str]]:
    """Names of the layers whose rows are logits, and of entries before them that are as many as the classes too."""
    varying = varying_axes(old.architecture, old.network, "out_channels")
    square = [name.removesuffix(".weight") for name, axes in varying.items() if axes == (0, 1)]
    layers = square or [name.removesuffix(".weight") for name in varying if name.endswith(".weight")]
    own = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    return layers, [name for name in varying if name not in own]


def _hidden_order(weights: Weights, layers: Sequence[str], before: int, now: int) -> list[int | None]:
    """Which maps of the layer before the last stay, where there are as many as classes: all, or those that the logits
    follow most."""
    if now >= before:
        return [*range(before), *([None] * (now - before))]
    size = weights[f"{layers[0]}.weight"].flatten(2).abs().sum((0, 2))
    return sorted(size.argsort(descending=True)[:now].tolist())


def _selected(
    value: torch.Tensor, order: Sequence[int | None], axis: int, fresh: torch.Tensor | None = None
) -> torch.Tensor:
    """Slices of an axis in another order; None: those of ``fresh`` at this place, or zeros."""
    parts = [
        value.select(axis, source)
        if source is not None
        else torch.zeros_like(value.select(axis, 0)) if fresh is None else fresh.select(axis, place)
        for place, source in enumerate(order)
    ]  # fmt: skip
    return torch.stack(parts, dim=axis)


def _new_rows(
    rows: torch.Tensor,
    old: Plan,
    plan: Plan,
    origins: Origins,
    margins: Sequence[float],
    merged: Mapping[int, MergedRow],
    *,
    has_bias: bool,
) -> torch.Tensor:
    """Rows (out_channels, values) of the classes of ``plan``; the last value is the bias, where there is one."""
    full = torch.cat([torch.zeros_like(rows[:1]), rows]) if old.overlapping else rows
    generator = torch.Generator().manual_seed(SEED)
    result = [full[0]]
    for place, sources in enumerate(origins.classes):
        noise = NOISE * full[1:].std() * torch.randn(full.shape[1], generator=generator, dtype=full.dtype)
        if has_bias:
            noise[-1] = 0
        if not sources:
            row, lift = full[0] + noise, -margins[place]
        elif len(sources) == 1:
            row, count = full[sources[0]], origins.shares[sources[0]]
            row, lift = row + noise if count > 1 else row, -math.log(count)
        else:
            fit = merged[place]
            row, lift = full[0] + fit.coefficients.to(full) @ (full[1:] - full[0]), fit.bias
        result.append(torch.cat([row[:-1], row[-1:] + lift]) if has_bias else row)
    stacked = torch.stack(result)
    return stacked[1:] - stacked[0] if plan.overlapping else stacked
