"""Means of results that come one after the other, of probabilities and of logits."""

from __future__ import annotations

import pytest
import torch

from MedSegTrainerLib.inference.running_means import MeanLogits, MeanProbabilities

LOGITS = 3 * torch.randn((4, 2, 3, 2, 3, 5), generator=torch.Generator().manual_seed(6))  # of four results


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("kind", [MeanProbabilities, MeanLogits])
def test_means_and_variance(kind: type[MeanProbabilities | MeanLogits], overlapping: bool) -> None:
    mean = kind(with_variance=True, overlapping=overlapping)
    for logits in LOGITS:
        mean.add(logits)
    p = torch.sigmoid(LOGITS) if overlapping else torch.softmax(LOGITS, dim=2)
    result = mean.result()
    shown = torch.sigmoid(result[:, :3]) if overlapping else torch.softmax(result[:, :3], dim=1)
    of_logits = LOGITS.mean(dim=0)
    expected = torch.sigmoid(of_logits) if overlapping else torch.softmax(of_logits, dim=1)
    torch.testing.assert_close(shown, p.mean(dim=0) if kind is MeanProbabilities else expected)
    variance = (1 + overlapping) * p.var(dim=0, correction=0).sum(dim=1)
    torch.testing.assert_close(result[:, 3], variance, atol=1e-5, rtol=1e-4)


def test_logits_come_back_as_they_are() -> None:
    mean = MeanLogits(with_variance=False, overlapping=False)
    for _ in range(3):
        mean.add(LOGITS[0])
    torch.testing.assert_close(mean.result(), LOGITS[0])
