"""Measured steps: real ones, and only of what the user left open."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig, TrainerConfig
from MedSegTrainerLib.planning.step_timing import fastest_arithmetic, measure_step


def test_a_step_takes_time(tiny_plan: Plan, cpu: torch.device) -> None:
    seconds = measure_step(tiny_plan, TrainConfig(), cpu)
    assert 0 < seconds < math.inf


def test_what_surely_does_not_fit_is_not_tried(tiny_plan: Plan, cpu: torch.device) -> None:
    """A process that asks a CPU for too much may be ended without a word."""
    plan = replace(tiny_plan, patch_size=(4096, 4096, 4096))
    assert measure_step(plan, TrainConfig(), cpu) == math.inf


def test_a_plan_that_cannot_run_is_not_told_as_a_time(tiny_plan: Plan, cpu: torch.device) -> None:
    with pytest.raises(RuntimeError):
        measure_step(replace(tiny_plan, patch_size=(4, 7, 12)), TrainConfig(), cpu)


@pytest.mark.parametrize(("mixed", "last"), [(False, False), (False, True), (True, False)])
def test_what_the_user_fixed_is_kept(tiny_plan: Plan, cpu: torch.device, mixed: bool, last: bool) -> None:
    config = TrainConfig(trainer=TrainerConfig(mixed_precision=mixed, channels_last=last))
    plan, seconds, reason = fastest_arithmetic(tiny_plan, config, cpu)
    assert (plan.mixed_precision, plan.channels_last) == (mixed, last)
    assert 0 < seconds < math.inf
    assert ("16-bit" in reason, "32-bit" in reason) == (mixed, not mixed)


def test_auto_tries_both_and_takes_the_faster(tiny_plan: Plan, cpu: torch.device) -> None:
    plan, seconds, reason = fastest_arithmetic(tiny_plan, TrainConfig(), cpu)
    assert "16-bit" in reason and "32-bit" in reason
    assert 0 < seconds < math.inf
    assert replace(plan, mixed_precision=False, channels_last=False) == tiny_plan
