"""The running average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from MedSegTrainerLib.training.ema import WeightAverage


def network(value: float) -> nn.Sequential:
    """A weight, and a buffer of integers, as batch norms have."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    set_weight(model, value)
    return model


def set_weight(model: nn.Sequential, value: float) -> None:
    with torch.no_grad():
        model[0].weight.fill_(value)


def test_starts_as_a_copy_that_the_network_cannot_change() -> None:
    model = network(3.0)
    average = WeightAverage(model, 0.999)
    set_weight(model, 9.0)
    assert float(average.weights["0.weight"]) == 3.0


def test_first_steps_follow_the_warmed_up_decay() -> None:
    """(1 + step) / (10 + step) is 2/11 after the first step and 3/12 after the second."""
    model = network(0.0)
    average = WeightAverage(model, 0.999)
    set_weight(model, 11.0)
    average.follow(model)
    assert float(average.weights["0.weight"]) == pytest.approx(9.0)
    set_weight(model, 5.0)
    average.follow(model)
    assert float(average.weights["0.weight"]) == pytest.approx(0.25 * 9 + 0.75 * 5)


def test_later_steps_have_the_decay_itself() -> None:
    model = network(0.0)
    average = WeightAverage(model, 0.9)
    average.steps = 10_000
    set_weight(model, 10.0)
    average.follow(model)
    assert float(average.weights["0.weight"]) == pytest.approx(1.0)


def test_without_decay_it_is_the_weights() -> None:
    model = network(1.0)
    average = WeightAverage(model, None)
    set_weight(model, 7.5)
    average.follow(model)
    assert float(average.weights["0.weight"]) == 7.5


def test_counters_are_copied_and_not_averaged() -> None:
    model = network(1.0)
    average = WeightAverage(model, 0.999)
    model[1].num_batches_tracked.fill_(41)
    average.follow(model)
    assert int(average.weights["1.num_batches_tracked"]) == 41


def test_the_network_is_left_alone_and_keeps_its_gradients() -> None:
    model = network(4.0)
    model[0].weight.grad = torch.ones(1, 1)
    WeightAverage(model, 0.5).follow(model)
    assert model[0].weight.item() == 4.0
    assert model[0].weight.grad is not None
