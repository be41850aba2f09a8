"""The learning rate over a training: warm-up, schedules and what of them reacts to validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from MedSegTrainerLib.config.settings import TrainerConfig
from MedSegTrainerLib.training.optimizers import PLATEAU_PATIENCE


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """Where a training is, in steps from 0; ``reductions`` of the schedule 'plateau' so far."""

    step: int
    steps: int
    warmup_steps: int
    peak: float
    steps_per_epoch: int
    reductions: int

    def share(self, last: int) -> float:
        """Share of the steps from the end of the warm-up to ``last`` that is done, 0 to 1."""
        return 1.0 if self.step >= last else max(0.0, (self.step - self.warmup_steps) / (last - self.warmup_steps))


def _constant(at: _Moment, trainer: TrainerConfig) -> float:
    return at.peak


def _step(at: _Moment, trainer: TrainerConfig) -> float:
    """``gamma`` times as much after every ``step_size`` epochs (torch's StepLR, stepped once an epoch)."""
    return at.peak * trainer.gamma ** (at.step // at.steps_per_epoch // trainer.step_size)


def _cosine(at: _Moment, trainer: TrainerConfig) -> float:
    """From the peak to ``eta_min`` in ``T_max`` epochs (torch's CosineAnnealingLR, stepped after every batch).

    Loshchilov and Hutter 2017, without restarts: from epoch ``T_max`` on the rate stays at ``eta_min``, where
    torch's climbs again, which nobody wants who set T_max below the number of epochs.
    """
    last = at.steps if trainer.T_max == "auto" else trainer.T_max * at.steps_per_epoch
    lowest = min(trainer.eta_min, at.peak)
    return lowest + (at.peak - lowest) * 0.5 * (1 + math.cos(math.pi * at.share(last)))


def _plateau(at: _Moment, trainer: TrainerConfig) -> float:
    """``factor`` times as much at each reduction, not below ``eta_min`` (torch's ReduceLROnPlateau)."""
    return max(at.peak * trainer.factor**at.reductions, min(trainer.eta_min, at.peak))


def _polynomial(at: _Moment, trainer: TrainerConfig) -> float:
    """(1 - share done) ** ``power`` of the peak, 0 at the end (torch's PolynomialLR, stepped after every batch)."""
    return at.peak * (1 - at.share(at.steps)) ** trainer.power


SCHEDULES: dict[str, Callable[[_Moment, TrainerConfig], float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "plateau": _plateau,
    "polynomial": _polynomial,
}
WARMUPS: dict[str, Callable[[int, int], float]] = {"linear": lambda done, steps: done / steps}  # share of the peak


def rate_at(
    step: int,
    *,
    steps: int,
    warmup_steps: int,
    peak: float,
    trainer: TrainerConfig,
    schedule: str,
    steps_per_epoch: int,
    reductions: int = 0,
) -> float:
    """Learning rate of step ``step`` (from 0) of ``steps``: a linear rise to ``peak``, then the schedule.

    ``cosine`` and ``polynomial`` fall a little with every step, from the end of the warm-up; ``step`` falls at
    whole epochs, ``plateau`` after validations. Epochs are those of the training, the warm-up included.
    """
    if step < warmup_steps:
        return peak * WARMUPS[trainer.warmup_type](step + 1, warmup_steps)
    moment = _Moment(
        step=step,
        steps=steps,
        warmup_steps=warmup_steps,
        peak=peak,
        steps_per_epoch=steps_per_epoch,
        reductions=reductions,
    )
    return SCHEDULES[schedule](moment, trainer)


def plateau_reductions(
    val_losses: Sequence[float], epochs: Sequence[int], patience: int, min_delta: float = 1e-4
) -> int:
    """How often the schedule 'plateau' has lowered the rate, from all validation losses so far and their epochs.

    As torch's ReduceLROnPlateau(threshold=min_delta): the rate falls at the validation where the best loss has
    not been beaten, by the share ``min_delta`` of it, for more than ``patience`` epochs; then the patience
    starts anew. A loss that is not a number beats nothing.
    """
    best, since, reductions = math.inf, 0, 0
    for epoch, loss in zip(epochs, val_losses, strict=True):
        if loss < (best if math.isinf(best) else best - min_delta * abs(best)):
            best, since = loss, epoch
        elif epoch - since > patience:
            reductions += 1
            since = epoch
    return reductions


def plateau_patience(trainer: TrainerConfig) -> int:
    """Epochs that 'plateau' waits: ``lr_patience``; else ``patience``, unless that is early stopping's; else 10."""
    if trainer.lr_patience != "auto":
        return trainer.lr_patience
    if trainer.patience != "auto" and not trainer.early_stopping:
        return trainer.patience
    return PLATEAU_PATIENCE
