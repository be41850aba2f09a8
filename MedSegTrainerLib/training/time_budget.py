"""The time of a training: how fast its steps are, how many still fit, what is kept for validations and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from MedSegTrainerLib.config.settings import TrainerConfig
from MedSegTrainerLib.duration import parse_duration

DEFAULT_BUDGET = "20m"
LOOK_SECONDS = 2.0  # about so often a training looks at the clock, and whether somebody wants it to stop
REPORT_SECONDS = 8.0  # kept free of a budget for the final report
KEPT_VALIDATIONS = 3  # kept free besides: the last one of the training, and about two for the report
MOST_ADDED = 2.0  # times the steps planned so far that one look at the clock may plan
SHORTEST_TIME = 0.001  # seconds; a coarse clock may stand still during the first step


def budget_seconds(trainer: TrainerConfig) -> float | None:
    """The time that a training may take, everything included; None where its epochs are given."""
    return parse_duration(trainer.budget or DEFAULT_BUDGET) if trainer.epochs == "auto" else None


class TimeBudget:
    """Tells from a clock how long a training has, and measures its steps and validations.

    seconds: that everything may take, report included, from the moment ``started`` of the clock on (now, by default);
    None without a budget. clock: gives seconds. It is that of the wall by default, because a budget can have begun in
    another process.
    """

    def __init__(
        self, seconds: float | None = None, started: float | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.clock = clock
        self.deadline = None if seconds is None else (clock() if started is None else started) + seconds
        self.validation_seconds = 0.0
        self.begin(0)

    @property
    def seconds_left(self) -> float | None:
        """Until everything has to be done, negative after that; None without a budget."""
        return None if self.deadline is None else self.deadline - self.clock()

    @property
    def is_used_up(self) -> bool:
        left = self.seconds_left
        return left is not None and left < 0

    def take_off(self, seconds: float) -> None:
        """What earlier processes of the same training have used of the budget."""
        if self.deadline is not None:
            self.deadline -= seconds

    def begin(self, step: int) -> None:
        """Training begins now at this step, or goes on there."""
        self._began, self._first_step = self.clock(), step

    def go_back_to(self, step: int) -> None:
        """Steps from this one on are done anew; the time that they took stays."""
        self._first_step = min(self._first_step, step)

    @property
    def seconds_trained(self) -> float:
        """Since ``begin``."""
        return self.clock() - self._began

    def step_seconds(self, step: int) -> float:
        """Mean seconds of the steps from ``begin`` to this one, their share of the validations included."""
        return max(self.seconds_trained, SHORTEST_TIME) / max(1, step - self._first_step)

    def steps_to_next_look(self, step: int, total_steps: int) -> int:
        """After how many steps to look at the clock again, at least one; with a budget before the last of the planned
        ones, which may be far too few."""
        steps = int(LOOK_SECONDS / self.step_seconds(step))
        return max(1, steps if self.deadline is None else min(steps, (total_steps - step) // 2))

    def total_steps(self, step: int, planned: int) -> int:
        """How many steps there will be in all, ``step`` of which are done: without a budget those that are planned.

        With one the number follows the speed seen so far, so that validations and the report still fit.
        """
        left = self.seconds_left
        if left is None:
            return planned
        left -= REPORT_SECONDS + KEPT_VALIDATIONS * self.validation_seconds
        possible = step + max(0, int(left / self.step_seconds(step)))
        return max(step, min(possible, int(planned * MOST_ADDED)))

    def eta_seconds(self, step: int, total_steps: int) -> float:
        """Until the end, for messages: that of the budget, or of the steps."""
        left = self.seconds_left
        if left is not None:
            return max(0.0, round(left, 1))
        return round((total_steps - step) * self.step_seconds(step), 1)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Around a validation: what it takes is what the next ones are expected to take."""
        started = self.clock()
        yield
        self.validation_seconds = self.clock() - started
