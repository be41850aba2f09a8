"""Means of several results for the same windows, as one result comes after the other: of probabilities, or of logits.

Both give what takes the place of logits, and with ``with_variance`` the variance of the probabilities as last channel.
``overlapping``: the logits are those of sigmoids, not of one softmax.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional


class MeanProbabilities:
    """Given as the logarithm of the mean, where classes overlap as its logit."""

    def __init__(self, *, with_variance: bool, overlapping: bool) -> None:
        self.with_variance, self.overlapping, self.count = with_variance, overlapping, 0
        self._mean: torch.Tensor | None = None
        self._absent: torch.Tensor | None = None
        self._squares: torch.Tensor | float = 0.0

    def add(self, logits: torch.Tensor) -> None:
        """Logits (B, channels, z, y, x) of one result."""
        self.count += 1
        logs = functional.logsigmoid(logits) if self.overlapping else functional.log_softmax(logits, dim=1)
        self._mean = logs if self._mean is None else torch.logaddexp(self._mean, logs)
        if self.overlapping:
            others = functional.logsigmoid(-logits)
            self._absent = others if self._absent is None else torch.logaddexp(self._absent, others)
        if self.with_variance:
            self._squares = self._squares + _pairs(self.overlapping) * logs.exp().square_().sum(dim=1, keepdim=True)

    def result(self) -> torch.Tensor:
        assert self._mean is not None
        mean = self._mean - math.log(self.count)
        shown = mean if self._absent is None else mean - (self._absent - math.log(self.count))
        if not self.with_variance:
            return shown
        variance = self._squares / self.count - _pairs(self.overlapping) * mean.exp().square_().sum(dim=1, keepdim=True)
        return torch.cat([shown, variance.clamp(min=0)], dim=1)


class MeanLogits:
    """As nnU-Net averages over mirrorings and folds."""

    def __init__(self, *, with_variance: bool, overlapping: bool) -> None:
        self.count = 0
        self._sum: torch.Tensor | None = None
        self._spread = MeanProbabilities(with_variance=True, overlapping=overlapping) if with_variance else None

    def add(self, logits: torch.Tensor) -> None:
        """Logits (B, channels, z, y, x) of one result."""
        self.count += 1
        self._sum = logits if self._sum is None else self._sum + logits
        if self._spread is not None:
            self._spread.add(logits)

    def result(self) -> torch.Tensor:
        assert self._sum is not None
        mean = self._sum / self.count
        return mean if self._spread is None else torch.cat([mean, self._spread.result()[:, -1:]], dim=1)


def _pairs(overlapping: bool) -> int:
    """How many probabilities a channel stands for: p and 1 - p of a class that overlaps others vary alike."""
    return 2 if overlapping else 1
