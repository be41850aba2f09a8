"""The sums over voxels that all losses are made of, and their gradient, in as few passes over memory as it takes.

Losses are formulas of these small tensors (``segmentation_loss.py``), differentiated by PyTorch as usual. What is
written by hand here, once for all of them, is the way from the sums back to the logits: PyTorch's own would keep and
walk through a dozen tensors as large as the logits (twice the time on a CPU).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.nn import functional

SMALLEST_ERROR = 1e-7  # (1 - p)^gamma has no slope at 0 where gamma is below 1


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Sums over the voxels of a sample that count; p is the softmax. None where it was not requested.

    logits (B, C, *spatial), target (B, *spatial): what they are of, for losses that are no formulas of sums.
    counts: voxels of each class (B, C). predicted: sum of p (B, C). overlap: sum of p over the voxels of the
    class (B, C). log_p: sum of log p over the voxels of the class (B, C). focal: the same of
    (1 - p)^gamma log p. surface: sum over the classes without background of p times ``distances`` (B,). unknown: which
    classes nobody looked for in a sample, bool (B, C); None where all were looked for everywhere.
    """

    logits: torch.Tensor
    target: torch.Tensor
    counts: torch.Tensor
    predicted: torch.Tensor | None
    overlap: torch.Tensor | None
    log_p: torch.Tensor | None
    focal: torch.Tensor | None
    surface: torch.Tensor | None
    unknown: torch.Tensor | None = None


def class_sums(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    overlap: bool = False,
    log_p: bool = False,
    gamma: float | None = None,
    distances: torch.Tensor | None = None,
    unknown: torch.Tensor | None = None,
) -> ClassSums:
    """Sums for logits (B, C, *spatial) and class indices (B, *spatial); voxels below 0 do not count.

    overlap, log_p: whether these are needed; gamma: for ``focal``; distances: (B, C - 1, *spatial), for
    ``surface``; unknown: passed on. Worked out in float32, or in float64 for float64 logits.
    """
    sums = _ClassSums.apply(logits, target, overlap, log_p, gamma, distances)  # type: ignore[no-untyped-call]
    names = [field.name for field in fields(ClassSums) if field.name != "unknown"]
    return ClassSums(**dict(zip(names, (logits, target, *sums), strict=True)), unknown=unknown)


class _ClassSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        target: torch.Tensor,
        overlap: bool,
        log_p: bool,
        gamma: float | None,
        distances: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, ...]:
        exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
        plain = logits.to(exact, memory_format=torch.contiguous_format)
        logs, flat = functional.log_softmax(plain, dim=1).flatten(2), target.flatten(1)
        one_hot = _one_hot(flat, logs)
        true = torch.empty_like(logs)  # memory that is used twice: fresh memory costs more than the arithmetic
        of_class = predicted = log_sums = focal = slope = surface = None
        if log_p or gamma is not None:
            torch.mul(logs, one_hot, out=true)
            log_sums = true.sum(-1) if log_p else None
            if gamma is not None:
                focal, slope = _focal(true.sum(1), one_hot, gamma)
        p = logs.exp_().mul_(_numbers(torch.ge, flat, 0, logs)[:, None])  # 0 at voxels that do not count
        if overlap:
            of_class, predicted = torch.mul(p, one_hot, out=true).sum(-1), p.sum(-1)
        if distances is not None:
            distances = distances.flatten(2).to(exact)
            surface = torch.mul(p[:, 1:], distances, out=true[:, 1:]).sum((1, 2))
        ctx.save_for_backward(p, one_hot, slope, distances)
        ctx.shape, ctx.dtype = logits.shape, logits.dtype
        ctx.set_materialize_grads(False)
        counts = one_hot.sum(-1)
        ctx.mark_non_differentiable(counts)
        return counts, predicted, of_class, log_sums, focal, surface

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """d/dlogits = g - p sum(g), where g, the gradient by log p, is p d/dp + d/dlog p."""
        _, predicted, overlap, log_p, focal, surface = (None if g is None else g[..., None] for g in grads)
        p, one_hot, slope, distances = ctx.saved_tensors
        by_log = torch.zeros_like(p) if log_p is None else one_hot * log_p
        if overlap is not None and predicted is not None:
            by_log += torch.addcmul(predicted, one_hot, overlap).mul_(p)
        if surface is not None:
            by_log[:, 1:] += (distances * surface[:, None]).mul_(p[:, 1:])
        if focal is not None:
            by_log.addcmul_(one_hot, focal * slope[:, None])
        by_log.addcmul_(p, by_log.sum(1, keepdim=True), value=-1)
        return by_log.view(ctx.shape).to(ctx.dtype), None, None, None, None, None


def _one_hot(target: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, C, voxels) of 0 and 1, from (B, voxels) class indices."""
    indices = torch.arange(like.shape[1], dtype=target.dtype, device=target.device)
    return _numbers(torch.eq, target[:, None], indices[:, None], like)


def _numbers(compare: Callable[..., torch.Tensor], left: Any, right: Any, like: torch.Tensor) -> torch.Tensor:
    """A comparison as 0 and 1 of the type of ``like``; booleans in between take seven times as long on CPUs."""
    if like.device.type == "cpu":
        return compare(left, right, out=like.new_empty(0))
    return compare(left, right).to(like.dtype)


def _focal(log_p: torch.Tensor, one_hot: torch.Tensor, gamma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of (1 - p)^gamma log p by class, and the derivative by log p at each voxel."""
    p, error = log_p.exp(), (-log_p.expm1()).clamp(min=SMALLEST_ERROR)
    factor = error.pow(gamma)
    value = factor * log_p
    return (value[:, None] * one_hot).sum(-1), factor - gamma * p * value / error
