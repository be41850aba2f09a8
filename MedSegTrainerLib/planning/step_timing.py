"""How long a training step takes on this device: measured with a few real steps, not guessed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from importlib.util import find_spec

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.guide.tables import wants_mixed_precision
from MedSegTrainerLib.hardware.device import synchronize
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.hardware.memory import free_memory, is_out_of_memory
from MedSegTrainerLib.planning.step_memory import step_bytes
from MedSegTrainerLib.training.compiled import Compiled
from MedSegTrainerLib.training.learner import Learner

logger = logging.getLogger(__name__)

TIMED_STEPS = 3
MOST_MEASURED = 16  # patches
SPARE = 1.25  # what a step needs beyond what is sure to be needed
ENOUGH_SECONDS = 8.0  # a step that takes so long is known well enough from its first time
COMPILED_GAIN = 0.95  # of the time without: a smaller gain is no more than the measurement errs
COMPILED_FROM = 600.0  # seconds of training; compiling takes about one of these minutes, also where it is in vain


def measure_step(plan: Plan, config: TrainConfig, device: torch.device) -> float:
    """Seconds of the fastest of three steps after one to warm up; infinity where the device's memory is too small.

    A slow step is not repeated: planning should not take minutes.
    """
    return _measure(plan, config, device)[0]


def _measure(plan: Plan, config: TrainConfig, device: torch.device) -> tuple[float, Compiled | None]:
    """The seconds, and how compiling went where the plan wants it."""
    if device.type == "cpu" and SPARE * step_bytes(plan) > available_memory():
        return float("inf"), None  # a process that asks for too much may be ended without a word
    full_batch = plan.batch_size
    if device.type == "cpu" and full_batch > MOST_MEASURED:  # there each patch takes as long as the one before
        plan = replace(plan, batch_size=MOST_MEASURED)
    try:
        learner = Learner(plan, config, device)
        learner.loss.ramp = 1.0  # as most steps are: with the boundary term, where there is one
        images = torch.zeros((plan.batch_size, plan.network["in_channels"], *plan.patch_size), device=device)
        labels = torch.zeros((plan.batch_size, *plan.patch_size), dtype=torch.int16, device=device)
        labels.fill_(len(plan.classes) + len(plan.label_codes) if plan.label_codes else 0)  # what takes longest
        labels[..., 0] = 1
        seconds = []
        for _ in range(1 + TIMED_STEPS):
            started = time.perf_counter()
            learner.step([(images, labels)], 1, 1e-6)
            synchronize(device)
            seconds.append(time.perf_counter() - started)
            if sum(seconds) > ENOUGH_SECONDS:
                break
        return min(seconds[1:] or seconds) * full_batch / plan.batch_size, learner.compiled
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    logger.info("No memory for a step with %d patches of %s voxels", plan.batch_size, plan.patch_size)
    free_memory(device)  # what the error still held is free only now
    return float("inf"), None


def fastest_arithmetic(plan: Plan, config: TrainConfig, device: torch.device) -> tuple[Plan, float, str]:
    """The plan with the faster of full and mixed precision, in the memory order that suits it.

    Settings the user fixed are kept. Returns the plan, the seconds of a step, and the reason.
    """
    trainer = config.trainer
    mixed = [True, False] if trainer.mixed_precision == "auto" else [trainer.mixed_precision]
    row = ""
    if device.type == "mps":
        mixed = [False]
    elif trainer.mixed_precision == "auto" and wants_mixed_precision(plan.architecture, device.type):
        mixed, row = [True], "guide, 'TransUNet, UNETR, Swin-UNETR: mixed precision'; "
    times: dict[tuple[bool, bool], float] = {}
    for precision in mixed:
        last = [precision] if trainer.channels_last == "auto" else [trainer.channels_last]
        for order in last:
            candidate = replace(plan, mixed_precision=precision, channels_last=order)
            times[precision, order] = measure_step(candidate, config, device)
    best = min(times, key=lambda key: times[key])
    measured = ", ".join(f"{_name(*key)} {seconds:.2f} s" for key, seconds in times.items())
    chosen = replace(plan, mixed_precision=best[0], channels_last=best[1])
    return chosen, times[best], f"{row}measured a step on this device: {measured}"


def compiled_if_faster(
    plan: Plan, config: TrainConfig, device: torch.device, seconds: float, time_left: float | None
) -> tuple[Plan, float, str]:
    """The plan with its network compiled where that pays, the seconds of its step, and what to add to the reason.

    seconds: of a step as it is. time_left: seconds for training, None without a limit; compiling takes some of them.
    """
    setting = config.trainer.compile
    if setting is False or (setting == "auto" and (device.type != "cuda" or find_spec("triton") is None)):
        return plan, seconds, ""
    if setting == "auto" and time_left is not None and time_left < COMPILED_FROM:
        return plan, seconds, "; not compiled for so short a training"
    compiled_seconds, compiled = _measure(replace(plan, compiled=True), config, device)
    if compiled is None or compiled.run is None:
        return plan, seconds, f"; cannot be compiled: {compiled.error if compiled else 'not enough memory'}"
    reason = f"; compiled, which takes {compiled.seconds:.0f} s, {compiled_seconds:.2f} s"
    share = 1.0 if time_left is None else max(0.0, 1 - compiled.seconds / time_left)
    if setting == "auto" and compiled_seconds > COMPILED_GAIN * share * seconds:
        return plan, seconds, f"{reason}: too little"
    return replace(plan, compiled=True), compiled_seconds, reason


def _name(mixed: bool, channels_last: bool) -> str:
    return ("16-bit" if mixed else "32-bit") + (" channels-last" if channels_last else "")
