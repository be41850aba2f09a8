"""Learning rate range test: the rate is raised step by step, and how the loss answers says which one to train with.

Smith 2017, https://arxiv.org/abs/1506.01186; exponential steps, smoothing and where to stop after Gugger 2018,
https://sgugger.github.io/how-do-you-find-a-good-learning-rate.html, and fast.ai.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch

from MedSegTrainerLib.config.job_settings import FindRateConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.events import Emit, Progress, RatesTried, Stage
from MedSegTrainerLib.hardware.device import choose_device
from MedSegTrainerLib.job import Outcome
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.stages import plan_training, prepare_cases, scan_data
from MedSegTrainerLib.jobs.start_from import read_start, start_weights
from MedSegTrainerLib.report.curves import write_rate_curve
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.time_budget import TimeBudget, budget_seconds

EXPLODED = 4.0  # times the best smoothed loss
AVERAGED_SHARE = 1 / 20  # of the steps, that the exponential average looks back
SLOPE_SHARE = 1 / 10  # of the steps, over which a slope is taken
NOISY_SHARE = 1 / 10  # of the steps, at the beginning, where the average is young and nothing is learned yet
SMALLEST_FALL = 1e-3  # share of the loss
STEEP = 0.9  # of the steepest slope
LOOK_SECONDS = 1.0


class RateCurve:
    """Losses of a range test of ``steps`` steps; grows by ``add``."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._keep = 1 - 1 / max(1.0, AVERAGED_SHARE * steps)
        self._average = 0.0

    def add(self, rate: float, loss: float) -> None:
        """A step; its smoothed loss is the exponential average without its bias towards 0 (Kingma and Ba 2015)."""
        self.rates.append(rate)
        self.losses.append(loss)
        self._average = self._keep * self._average + (1 - self._keep) * loss
        self.smoothed.append(self._average / (1 - self._keep ** len(self.losses)))

    @property
    def has_exploded(self) -> bool:
        """Whether the smoothed loss is more than four times the best one so far, or not a number."""
        last, best = self.smoothed[-1], min(self.smoothed)
        return not math.isfinite(last) or last > best + (EXPLODED - 1) * abs(best)

    def suggestion(self) -> float | None:
        """Where the smoothed loss falls most steeply over log(rate), to two digits; None if it does not fall.

        The slope is that of a straight line through a tenth of the steps. A long fall is steep all along, and which
        of its rates is steepest is chance: the lowest one with nine tenths of the steepest slope is taken, as the
        safest. Only steps before the lowest loss are looked at, and not the first tenth, where noise is all
        there is. A fall of the mean over a tenth that is not larger than twice the noise of a step is none.
        """
        finite = [value for value in self.smoothed if math.isfinite(value)]
        half = max(2, round(SLOPE_SHARE * self.steps / 2))
        first, lowest = max(half, round(NOISY_SHARE * self.steps)), int(np.argmin(finite or [0]))
        slopes = {
            i: _slope(self.rates[i - half : i + half + 1], finite[i - half : i + half + 1])
            for i in range(first, min(lowest + 1, len(finite) - half))
        }
        if not slopes:
            return None
        noise = 2 * float(np.median(np.abs(np.diff(self.losses[: lowest + 1]))))
        levels = [float(np.mean(self.losses[i - half : i + half + 1])) for i in slopes]
        if levels[0] - min(levels) <= max(noise, SMALLEST_FALL * abs(levels[0])):
            return None
        steep = STEEP * min(slopes.values())
        return float(f"{self.rates[next(i for i in slopes if slopes[i] <= steep)]:.2g}")


def rates_between(lowest: float, highest: float, steps: int) -> list[float]:
    """``steps`` rates from the lowest to the highest, each the same number of times the one before."""
    return [lowest * (highest / lowest) ** (i / (steps - 1)) for i in range(steps)]


def try_rates(
    learner: Learner,
    batches: Iterator[Batch],
    accumulate: int,
    rates: Sequence[float],
    on_step: Callable[[int], bool] = lambda done: True,
) -> RateCurve:
    """Trains one step with each rate until the loss explodes; the learner is afterwards what it was before.

    ``accumulate`` batches make a step. ``on_step`` gets the number of steps done and says whether to go on.
    """
    curve = RateCurve(len(rates))
    with unchanged(learner):
        for done, rate in enumerate(rates):
            loss, _ = learner.step(islice(batches, accumulate), accumulate, rate)
            curve.add(rate, float(loss))
            if curve.has_exploded or not on_step(done + 1):
                break
    return curve


@contextmanager
def unchanged(learner: Learner) -> Iterator[None]:
    """Puts weights, optimizer, average, loss scale and torch's random numbers back at the end, bit for bit."""
    saved = copy.deepcopy(
        {
            "network": learner.network.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
            "average": learner.average.weights,
            "scaler": learner.precision.scaler.state_dict(),
        }
    )
    steps, training = learner.average.steps, learner.network.training
    devices = [learner.device] if learner.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            learner.network.load_state_dict(saved["network"])
            learner.network.train(training)
            learner.optimizer.load_state_dict(saved["optimizer"])
            learner.optimizer.zero_grad(set_to_none=True)
            for name, value in learner.average.weights.items():
                value.copy_(saved["average"][name])
            learner.average.steps = steps
            learner.precision.scaler.load_state_dict(saved["scaler"])


def run_find_rate(config: FindRateConfig, context: JobContext) -> Outcome:
    """A job of kind ``find-lr``: the network that ``train`` would train, on its batches, with rising rates.

    Leaves ``report/lr_finder.png`` and an event. Raises TrainingError where no rate made the loss fall.
    """
    train, folder, owner, emit = config.train, context.folder, context.owner, context.emit
    start = read_start(train)
    scanned = scan_data(train, emit, start=start)
    budget = TimeBudget(budget_seconds(train.trainer), context.started, context.clock)
    plan = plan_training(train, scanned, emit, budget.seconds_left, start=start)
    device, _ = choose_device(train.trainer.device)
    owner.update(state="running", stage="prepare")
    cached = prepare_cases(plan, train, scanned, scanned.split.train, folder, device, emit)
    cases = list(cached.values())
    weights = start_weights(start, plan, train, scanned.fingerprint.voxel_share, cases, device) if start else None
    torch.manual_seed(train.data.seed)
    learner = Learner(plan, train, device, begin_as=weights)
    emit(Stage(name="find-lr", message="Trying learning rates", total=config.steps))
    owner.update(stage="find-lr")
    curve = try_rates(
        learner,
        _batches(cases, plan, train, device),
        train.trainer.gradient_accumulation_steps * plan.batch_parts,
        rates_between(config.lowest, config.highest, config.steps),
        _watch(context, config.steps),
    )
    stopped = folder.stop_requested()
    if stopped:
        return Outcome(message="Stopped before the end of the test.", result=str(folder.path), stopped=stopped)
    picture = folder.report / "lr_finder.png"
    return _emit_result(curve, picture, emit)


def _slope(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Loss per decade of the rate, of the straight line nearest to the points."""
    return float(np.polyfit(np.log10(rates), losses, 1)[0])


def _emit_result(curve: RateCurve, picture: Path, emit: Emit) -> Outcome:
    suggestion = curve.suggestion()
    write_rate_curve(curve.rates, curve.losses, curve.smoothed, suggestion, picture)
    if suggestion is None:
        raise TrainingError(
            f"The loss fell at no learning rate from {curve.rates[0]:.2g} to {curve.rates[-1]:.2g} (see {picture}). "
            "Check that the labels fit the images, that the loss suits them, or try more --steps."
        )
    emit(
        RatesTried(
            suggestion=suggestion,
            rates=curve.rates,
            losses=list(curve.losses),
            smoothed=list(curve.smoothed),
            picture=str(picture),
        )
    )
    return Outcome(message=f"Suggested learning rate: {suggestion:.2g}. Picture: {picture}", result=str(picture))


def _batches(cases: Sequence[StoredCase], plan: Plan, config: TrainConfig, device: torch.device) -> Iterator[Batch]:
    """The batches of a training, epoch after epoch, without end."""
    length = plan.steps_per_epoch * config.trainer.gradient_accumulation_steps * plan.batch_parts
    for epoch in count():
        yield from islice(epoch_batches(cases, plan, config.data, device, epoch), length)


def _watch(context: JobContext, total: int) -> Callable[[int], bool]:
    """Tells how far the test is, about once a second, and looks for a request to stop."""
    began = last = time.time()

    def on_step(done: int) -> bool:
        nonlocal last
        now = time.time()
        if now - last < LOOK_SECONDS and done < total:
            return True
        last = now
        eta = round((now - began) / done * (total - done), 1)
        context.emit(Progress(done=done, total=total, eta_seconds=eta))
        context.owner.update(progress=done / total, eta_seconds=eta)
        return context.folder.stop_requested() is None

    return on_step
