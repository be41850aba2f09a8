"""How the clock decides the number of steps, and what a training keeps free for validations and its report."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from MedSegTrainerLib.config.settings import TrainerConfig
from MedSegTrainerLib.training.time_budget import TimeBudget, budget_seconds

STARTED = 5000.0


@dataclass
class Clock:
    """Stands still until somebody sets it."""

    now: float = STARTED

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [({}, 1200.0), ({"budget": "90s"}, 90.0), ({"epochs": 3}, None), ({"epochs": "auto", "budget": "1h"}, 3600.0)],
)
def test_the_seconds_of_the_settings(settings: dict[str, object], seconds: float | None) -> None:
    assert budget_seconds(TrainerConfig(**settings)) == seconds  # type: ignore[arg-type]


def test_it_runs_from_the_moment_that_is_given(clock: Clock) -> None:
    clock.now = STARTED + 40
    budget = TimeBudget(100, STARTED, clock)
    assert budget.seconds_left == 60 and not budget.is_used_up
    clock.now = STARTED + 101
    assert budget.seconds_left == -1 and budget.is_used_up
    assert TimeBudget(100, None, clock).seconds_left == 100


def test_without_a_budget_the_clock_ends_nothing(clock: Clock) -> None:
    budget = TimeBudget(None, STARTED, clock)
    budget.take_off(10)
    clock.now += 1e9
    assert budget.seconds_left is None and not budget.is_used_up
    assert budget.total_steps(3, 40) == 40


def test_what_earlier_processes_used_is_gone(clock: Clock) -> None:
    budget = TimeBudget(100, STARTED, clock)
    budget.take_off(30)
    assert budget.seconds_left == 70


def test_steps_are_timed_from_where_training_begins(clock: Clock) -> None:
    budget = TimeBudget(None, STARTED, clock)
    clock.now += 500  # reading the data, planning
    budget.begin(20)
    clock.now += 30
    assert (budget.seconds_trained, budget.step_seconds(30)) == (30, 3)
    budget.go_back_to(25)
    assert budget.step_seconds(30) == 3  # it began before that
    budget.go_back_to(15)
    assert budget.step_seconds(30) == 2


@pytest.mark.parametrize(
    ("budget", "spent", "validation", "expected"),
    [
        (100, 20, 0.0, 46),  # 72 of 80 seconds at 2 s a step, after 10 steps
        (100, 20, 4.0, 40),  # three validations less
        (100, 93, 0.0, 10),  # nothing but the report fits
        (100, 300, 0.0, 10),
        (10_000, 20, 0.0, 80),  # at most twice what was planned
    ],
)
def test_how_many_steps_there_will_be(
    clock: Clock, budget: float, spent: float, validation: float, expected: int
) -> None:
    time_budget = TimeBudget(budget, STARTED, clock)
    with time_budget.validating():
        clock.now += validation
    clock.now = STARTED + spent - 20
    time_budget.begin(0)
    clock.now = STARTED + spent
    assert time_budget.total_steps(10, 40) == expected


def test_a_clock_that_stood_still_divides_nothing_by_nothing(clock: Clock) -> None:
    budget = TimeBudget(100, STARTED, clock)
    assert budget.total_steps(1, 40) == 80
    assert budget.steps_to_next_look(1, 40) >= 1


@pytest.mark.parametrize(("step_seconds", "steps"), [(0.1, 20), (0.9, 2), (5.0, 1)])
def test_the_next_look_is_in_about_two_seconds(clock: Clock, step_seconds: float, steps: int) -> None:
    budget = TimeBudget(None, STARTED, clock)
    clock.now += 10 * step_seconds
    assert budget.steps_to_next_look(10, 12) == steps


def test_far_too_few_planned_steps_do_not_end_a_training(clock: Clock) -> None:
    """The speed of another day is only a guess: 12 steps were planned where 600 fit."""
    budget = TimeBudget(68, STARTED, clock)
    step, total, look = 0, 12, 0
    while step < total:
        step, clock.now = step + 1, clock.now + 0.1
        if step >= look:
            total = budget.total_steps(step, total)
            look = step + budget.steps_to_next_look(step, total)
    assert 590 <= step <= 600


def test_what_a_user_is_told(clock: Clock) -> None:
    free, bound = TimeBudget(None, STARTED, clock), TimeBudget(100, STARTED, clock)
    clock.now += 20.04
    assert free.eta_seconds(10, 25) == 30.1
    assert bound.eta_seconds(10, 25) == 80.0
    clock.now += 200
    assert bound.eta_seconds(10, 25) == 0.0
