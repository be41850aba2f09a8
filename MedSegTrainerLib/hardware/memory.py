"""A training step that does not fit into memory, done smaller: the batch in pieces, then a smaller patch."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import replace

import torch

from MedSegTrainerLib.config.architectures import ARCHITECTURES, SMALLEST_MAP_VOXELS
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import TrainingError

Measured = tuple[Plan, float, str]
OUT_OF_MEMORY_TEXTS = ("out of memory", "DefaultCPUAllocator", "not enough memory", "std::bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; CPUs and Apple GPUs say so only in the message."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


def fit_to_memory(plan: Plan, measure: Callable[[Plan], Measured]) -> Measured:
    """``measure`` of the plan or, where its seconds are infinite, of the largest smaller one that fits.

    measure: a plan to it with its arithmetic, the seconds of a step, and the reason. Raises TrainingError where
    nothing fits.
    """
    while True:
        measured = measure(plan)
        if measured[1] < float("inf"):
            return measured
        less = smaller(plan, is_trained=False)
        if less is None:
            raise TrainingError(
                f"Not even a patch of {_times(plan.patch_size)} voxels and a batch of {plan.batch_size} fit into the "
                f"memory of this device with {plan.architecture}. Choose a smaller network (such as --model "
                "SegResNet, or fewer base_channels or embed_dim), or use --device cpu."
            )
        plan = less


def smaller(plan: Plan, *, is_trained: bool) -> Plan | None:
    """The plan whose step needs about half the memory, or None where nothing can be made smaller.

    Half the batch, computed one piece after the other, is the same step. One patch at a time becomes a smaller patch:
    along the axis that is longest in mm, in steps of what the network takes. A network with a value for each place
    keeps its patch once it is trained.
    """
    fewest = 2 if plan.network.get("norm") == "batch" else 1
    if plan.batch_size // 2 >= fewest:
        batch = plan.batch_size // 2
        reasons = {
            **plan.reasons,
            "batch_size": _split_reason(plan.reasons.get("batch_size", ""), plan.batch_size, batch),
        }
        return replace(plan, batch_size=batch, batch_parts=plan.batch_parts * 2, reasons=reasons)
    patch, is_fixed = _smaller_patch(plan), ARCHITECTURES[plan.architecture].is_fixed
    if patch is None or (is_fixed and is_trained):
        return None
    network = {**plan.network, "img_size": list(patch[3 - plan.dims :])} if is_fixed else plan.network
    reason = f"{plan.reasons.get('patch_size', '')}; {_times(plan.patch_size)} need more memory than there is"
    return replace(plan, patch_size=patch, network=network, reasons={**plan.reasons, "patch_size": reason})


def free_memory(device: torch.device) -> None:
    """Gives back what an error left behind."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _smaller_patch(plan: Plan) -> tuple[int, int, int] | None:
    """About half the voxels; None where the patch is as small as the network takes it."""
    patch, divisor = list(plan.patch_size), plan.divisor
    while math.prod(patch) > math.prod(plan.patch_size) / 2:
        lengths = [n * mm * (n > d) for n, d, mm in zip(patch, divisor, plan.spacing, strict=True)]
        axis = lengths.index(max(lengths))
        shorter = patch[axis] - max(divisor[axis], patch[axis] // 8 // divisor[axis] * divisor[axis])
        coarsest = math.prod(n // d for n, d in zip((*patch[:axis], shorter, *patch[axis + 1 :]), divisor, strict=True))
        if coarsest < SMALLEST_MAP_VOXELS:
            break
        patch[axis] = shorter
    smaller_patch = (patch[0], patch[1], patch[2])
    return None if smaller_patch == plan.patch_size else smaller_patch


def _split_reason(reason: str, before: int, after: int) -> str:
    return f"{reason}; {before} at once need more memory than there is, so {after} at a time add up to a step"


def _times(values: tuple[int, ...]) -> str:
    return " x ".join(str(value) for value in values)
