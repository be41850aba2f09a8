"""How fast the steps of a training are that goes on with a model: as in the training before, and not measured anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.planning.start_misfits import StartModel
from MedSegTrainerLib.planning.step_memory import step_bytes
from MedSegTrainerLib.planning.step_timing import COMPILED_FROM, SPARE

ENDS = ("in_channels", "out_channels")  # of a network, which decide little of its time


def step_seconds(curves: Sequence[Mapping[str, Any]], plan: Plan) -> float | None:
    """Seconds of a step with its share of the validations, of the curves of a trained model; None where they do not
    tell."""
    last = curves[-1] if curves else {}
    minutes, epoch = last.get("minutes"), last.get("epoch")
    if not isinstance(minutes, (int, float)) or not isinstance(epoch, int) or not math.isfinite(minutes):
        return None
    return 60 * minutes / (epoch * plan.steps_per_epoch) if minutes > 0 and epoch > 0 else None


def as_before(
    plan: Plan, model: StartModel, config: TrainConfig, device: torch.device, seconds_left: float | None
) -> tuple[Plan, float, str] | None:
    """The plan with the arithmetic of the model's, the seconds of its step, and the reason.

    None where a step is another one, on another device, or perhaps too large for what memory is free now: then it is
    measured.
    """
    old, trainer = model.plan, config.trainer
    same_step = (
        model.step_seconds is not None
        and plan.reasons.get("device") == old.reasons.get("device")
        and (plan.architecture, plan.dims, plan.patch_size) == (old.architecture, old.dims, old.patch_size)
        and plan.batch_size * plan.batch_parts == old.batch_size * old.batch_parts
        and _inner(plan) == _inner(old)
        and trainer.mixed_precision in ("auto", old.mixed_precision)
        and trainer.channels_last in ("auto", old.channels_last)
        and trainer.compile in ("auto", old.compiled)
    )
    kept = replace(
        plan,
        batch_size=old.batch_size,
        batch_parts=old.batch_parts,
        mixed_precision=old.mixed_precision,
        channels_last=old.channels_last,
        compiled=old.compiled and (trainer.compile is True or seconds_left is None or seconds_left >= COMPILED_FROM),
    )
    if not same_step or model.step_seconds is None or not _fits(kept, device):
        return None
    return kept, model.step_seconds, f"kept: that of {model.name}, on this device {model.step_seconds:.2f} s a step"


def _inner(plan: Plan) -> dict[str, Any]:
    return {name: value for name, value in plan.network.items() if name not in ENDS}


def _fits(plan: Plan, device: torch.device) -> bool:
    """A GPU says so in time; a process that asks for too much of the main memory may be ended without a word."""
    return device.type != "cpu" or SPARE * step_bytes(plan) < available_memory()
