"""Predicting a volume with less memory: sums on the CPU, fewer and smaller windows, at last all on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.hardware.memory import smaller

SMALLEST_SHARE = 4  # windows shrink to a quarter of the patch: with less around it a network is often wrong
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where volumes are predicted, and in which windows: the patch and the batch of the plans.

    sums_on: where the sums over windows are held; None: on the device too.
    """

    device: torch.device
    plans: tuple[Plan, ...]
    sums_on: torch.device | None = None


def lighter(current: Placement, trained: Sequence[Plan]) -> tuple[Placement, str] | None:
    """The next placement that needs less memory, and a message that says what it means; None where there is none.

    trained: the plans of the models, whose patches are the best windows.
    """
    is_cpu = current.device.type == "cpu"
    if not is_cpu and current.sums_on is None:
        return replace(current, sums_on=CPU), "What windows add up to is now kept in main memory, which is slower."
    plans = [_smaller(plan, best) for plan, best in zip(current.plans, trained, strict=True)]
    if any(plan is not None for plan in plans):
        kept = tuple(new or old for new, old in zip(plans, current.plans, strict=True))
        windows = " and ".join(dict.fromkeys(_windows(plan) for plan in kept))
        shrunk = any(new.patch_size != best.patch_size for new, best in zip(kept, trained, strict=True))
        cost = " The result can be a little worse than with larger ones." if shrunk else ""
        return replace(current, plans=kept), f"It goes on with {windows}.{cost}"
    if is_cpu:
        return None
    return Placement(device=CPU, plans=tuple(trained)), "It goes on on the CPU, which is much slower."


def _smaller(plan: Plan, trained: Plan) -> Plan | None:
    reduced = smaller(plan, is_trained=True)
    if reduced is None or math.prod(reduced.patch_size) * SMALLEST_SHARE < math.prod(trained.patch_size):
        return None
    return reduced


def _windows(plan: Plan) -> str:
    size = " x ".join(map(str, plan.patch_size))
    return f"windows of {size} voxels, {plan.batch_size} at a time"
