"""A loss as somebody adds it: Tversky's, where what is missed weighs more than what is found too much."""

from __future__ import annotations

import torch

from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.losses.class_sums import ClassSums
from MedSegTrainerLib.losses.terms import Term

FOUND_TOO_MUCH, MISSED = 0.3, 0.7  # Salehi et al. 2017, arXiv:1706.05721


def build_tversky(config: LossConfig, classes: int, device: torch.device) -> Term:
    """The term for a job's settings."""
    return lambda sums: tversky_term(sums, config.smooth)


def tversky_term(sums: ClassSums, smooth: float) -> torch.Tensor:
    """1 - Tversky index (B,), averaged over the classes without background."""
    assert sums.overlap is not None and sums.predicted is not None
    wrong = FOUND_TOO_MUCH * (sums.predicted - sums.overlap) + MISSED * (sums.counts - sums.overlap)
    return 1 - ((sums.overlap + smooth) / (sums.overlap + wrong + smooth))[:, 1:].mean(1)
