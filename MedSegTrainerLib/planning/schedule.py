"""Network width, arithmetic and number of epochs from the time there is and the measured speed of a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from MedSegTrainerLib.config.architectures import PLANNED
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.duration import format_duration
from MedSegTrainerLib.guide.tables import choose_epochs, choose_warmup, epoch_range
from MedSegTrainerLib.hardware.memory import fit_to_memory
from MedSegTrainerLib.planning.shapes import MOST_FEATURES
from MedSegTrainerLib.planning.step_timing import compiled_if_faster, fastest_arithmetic, measure_step

STEPS_FOR_WIDTH = {24: 3500, 32: 4500}  # a wider network pays only with so many steps
STEPS_FOR_PATCH = 4500  # a full patch pays only with so many steps; see scripts/benchmarks/README.md
MUCH_LARGER = 1.3
OVERHEAD = 1.15  # sampling, augmentation and validation on top of the step itself
VALIDATION_SHARE = 0.06
CURVE_POINTS, FEWEST_POINTS = 40, 3
MOST_FOR_A_CURVE = 0.2  # of the time, where there would be fewer points otherwise


def fit_to_time(
    plan: Plan,
    config: TrainConfig,
    device: torch.device,
    *,
    train_cases: int,
    validation_windows: int,
    seconds_left: float | None,
    devices: int = 1,
    known: tuple[Plan, float, str] | None = None,
) -> Plan:
    """The plan with arithmetic, width, epochs, warm-up and validation interval settled.

    ``validation_windows`` go through the network in one validation. What does not fit into the device's memory is
    made smaller; raises TrainingError where nothing fits. ``devices`` share each batch and the windows. known: the plan
    with its arithmetic, the seconds of a step and the reason, so that none is measured.
    """
    if devices > 1:
        alone = replace(plan, batch_size=-(-plan.batch_size // devices))
        fitted = fit_to_time(
            alone,
            config,
            device,
            train_cases=train_cases,
            validation_windows=-(-validation_windows // devices),
            seconds_left=seconds_left,
        )
        batch = plan.batch_size if fitted.batch_size == alone.batch_size else fitted.batch_size * devices
        return replace(fitted, batch_size=batch)
    if known is None:
        plan, seconds, reasons = _measured(plan, config, device, seconds_left)
    else:
        plan, seconds, reason = known
        reasons = {**plan.reasons, "arithmetic": reason}
    epochs, reasons["epochs"] = _epochs(plan, config, train_cases, seconds, seconds_left)
    warmup = config.trainer.warmup_epochs
    if warmup == "auto":
        warmup, reasons["warmup_epochs"] = choose_warmup(plan.architecture, epochs)
    interval, reasons["validation_interval"] = _validation_interval(plan, config, epochs, seconds, validation_windows)
    return replace(plan, epochs=epochs, warmup_epochs=float(warmup), validation_interval=interval, reasons=reasons)


def _measured(
    plan: Plan, config: TrainConfig, device: torch.device, seconds_left: float | None
) -> tuple[Plan, float, dict[str, str]]:
    """The plan with arithmetic and width settled, the seconds of a step, and all reasons."""
    plan, seconds, reason = fit_to_memory(plan, lambda smaller: fastest_arithmetic(smaller, config, device))
    reasons = {**plan.reasons, "arithmetic": reason}
    seconds *= plan.batch_parts * config.trainer.gradient_accumulation_steps
    if plan.architecture == PLANNED and config.network.base_channels == "auto" and seconds_left is not None:
        plan, seconds, reasons["base_channels"] = _widen(plan, config, device, seconds, seconds_left)
    plan, seconds, more = _compiled(plan, config, device, seconds, seconds_left)
    reasons["arithmetic"] += more
    return plan, seconds, reasons


def share_for_time(
    plan_with: Callable[[float], Plan],
    smallest: float,
    config: TrainConfig,
    device: torch.device,
    seconds_left: float,
    devices: int = 1,
) -> tuple[float, str]:
    """The largest share of a full patch with which a training gets ``STEPS_FOR_PATCH``, or the smallest; the reason.

    ``plan_with`` gives the plan for a share, whose batches ``devices`` divide. Small ones are measured first, as that
    is quick.
    """
    share = smallest
    while share < 1:
        plan = plan_with(share)
        plan = replace(plan, batch_size=-(-plan.batch_size // devices))
        plan, seconds, _ = fit_to_memory(plan, lambda smaller: fastest_arithmetic(smaller, config, device))
        seconds *= plan.batch_parts * config.trainer.gradient_accumulation_steps
        steps = seconds_left / (seconds * OVERHEAD)
        larger = share * steps / STEPS_FOR_PATCH
        if larger < MUCH_LARGER * share:
            return share, f": small enough for {steps:.0f} steps in the time left"
        share = larger
    return 1.0, ""


def epochs_in(seconds: float, step_seconds: float, steps_per_epoch: int) -> int:
    """Whole epochs that fit into the time, at least one."""
    return max(1, int(seconds / (step_seconds * steps_per_epoch)))


def few_steps(plan: Plan, config: TrainConfig, train_cases: int) -> str | None:
    """A warning where a time budget gives a network that was chosen by name far fewer steps than the guide does."""
    if plan.architecture == PLANNED or config.trainer.epochs != "auto":
        return None
    (fewest, _), _ = epoch_range(plan.architecture, train_cases)
    batch = plan.batch_size * plan.batch_parts * config.trainer.gradient_accumulation_steps
    needed, steps = fewest * max(1, train_cases // batch), plan.epochs * plan.steps_per_epoch
    if steps >= needed / 2:
        return None
    return (
        f"{plan.architecture} gets about {steps} steps in this time; the guide's {fewest} epochs would be {needed}. "
        "Expect little, or give it more --budget, a smaller network (embed_dim, base_channels, num_layers), or the "
        "planned one (--model auto)."
    )


def _validation_interval(
    plan: Plan, config: TrainConfig, epochs: int, step_seconds: float, windows: int
) -> tuple[int, str]:
    if config.trainer.validation_interval != "auto":
        return config.trainer.validation_interval, "set by the configuration"
    forward = step_seconds / plan.batch_size / 3  # the backward pass takes twice the time of the forward pass
    cost = windows * forward / (plan.steps_per_epoch * step_seconds)  # in epochs
    seldom, often = (math.ceil(cost / share) for share in (VALIDATION_SHARE, MOST_FOR_A_CURVE))
    interval = max(1, -(-epochs // CURVE_POINTS), seldom)
    if interval * FEWEST_POINTS > epochs:
        interval = min(interval, max(-(-epochs // FEWEST_POINTS), often))
    reason = f"{FEWEST_POINTS} to {CURVE_POINTS} points on the curve, and at most {VALIDATION_SHARE:.0%} of the time"
    return min(interval, epochs), f"{reason}, for the first {FEWEST_POINTS} {MOST_FOR_A_CURVE:.0%}"


def _epochs(
    plan: Plan, config: TrainConfig, train_cases: int, seconds: float, seconds_left: float | None
) -> tuple[int, str]:
    if config.trainer.epochs != "auto":
        return config.trainer.epochs, "set by the configuration"
    if seconds_left is None:
        return choose_epochs(plan.architecture, train_cases)
    epochs = epochs_in(seconds_left, seconds * OVERHEAD, plan.steps_per_epoch)
    left, step = format_duration(seconds_left), seconds * OVERHEAD
    reason = f"{left} left at {step:.2f} s a step, {plan.steps_per_epoch} steps an epoch; adjusted on the way"
    if plan.architecture != PLANNED:
        reason += f". To go by epochs: {choose_epochs(plan.architecture, train_cases)[1]}"
    return epochs, reason


def _compiled(
    plan: Plan, config: TrainConfig, device: torch.device, seconds: float, seconds_left: float | None
) -> tuple[Plan, float, str]:
    """``compiled_if_faster`` for steps of several parts."""
    parts, epochs = plan.batch_parts * config.trainer.gradient_accumulation_steps, config.trainer.epochs
    if seconds_left is None and epochs != "auto":
        seconds_left = epochs * plan.steps_per_epoch * seconds
    plan, part_seconds, reason = compiled_if_faster(plan, config, device, seconds / parts, seconds_left)
    return plan, part_seconds * parts, reason


def _widen(
    plan: Plan, config: TrainConfig, device: torch.device, seconds: float, seconds_left: float
) -> tuple[Plan, float, str]:
    """The widest network that still gets enough steps in the time."""
    chosen, chosen_seconds = plan, seconds
    tried = [f"16: {seconds_left / (seconds * OVERHEAD):.0f} steps"]
    for width, needed in STEPS_FOR_WIDTH.items():
        if seconds_left / (seconds * OVERHEAD) < needed:
            break  # not even the narrow network gets that many
        levels = len(plan.network["features"])
        features = [min(width * 2**level, MOST_FEATURES[plan.dims]) for level in range(levels)]
        wider = replace(plan, network={**plan.network, "features": features})
        wider_seconds = measure_step(wider, config, device) * plan.batch_parts
        wider_seconds *= config.trainer.gradient_accumulation_steps
        steps = seconds_left / (wider_seconds * OVERHEAD)
        tried.append(f"{width}: {steps:.0f} steps (needs {needed})")
        if steps >= needed:
            chosen, chosen_seconds = wider, wider_seconds
    return chosen, chosen_seconds, f"{', '.join(tried)} in the time left"
