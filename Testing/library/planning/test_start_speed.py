"""A training that goes on as before measures nothing; where anything of a step is another, it is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import StartConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.planning.schedule import fit_to_time
from MedSegTrainerLib.planning.start_misfits import StartModel
from MedSegTrainerLib.planning.start_speed import as_before, step_seconds
from MedSegTrainerLib.planning.step_timing import COMPILED_FROM

CPU = torch.device("cpu")


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    return replace(tiny_plan, reasons={"device": "CPU, 2 cores", "split": ""})


def model_of(plan: Plan, **changes: Any) -> StartModel:
    old = replace(plan, mixed_precision=True, channels_last=True, **changes)
    return StartModel(name="first", plan=old, data={}, step_seconds=0.5)


def settings(**trainer: Any) -> TrainConfig:
    return TrainConfig(start=StartConfig(model="first"), trainer=TrainerConfig(**trainer))


def test_seconds_of_a_step_are_those_of_the_training_before(plan: Plan) -> None:
    steps = plan.steps_per_epoch
    assert step_seconds([{"epoch": 0, "minutes": 0.1}, {"epoch": 4, "minutes": 2.0}], plan) == 120 / (4 * steps)
    points: list[list[dict[str, Any]]] = [
        [], [{"epoch": 0, "minutes": 0.1}], [{"epoch": 3}], [{"epoch": 3, "minutes": 0.0}],
        [{"epoch": "", "minutes": 1}],
    ]  # fmt: skip
    assert [step_seconds(curves, plan) for curves in points] == [None] * 5


def test_the_arithmetic_is_kept(plan: Plan) -> None:
    kept = as_before(plan, model_of(plan), settings(), CPU, 60.0)
    assert kept is not None
    assert (kept[0].mixed_precision, kept[0].channels_last, kept[1]) == (True, True, 0.5)
    assert kept[2] == "kept: that of first, on this device 0.50 s a step"
    fitted = fit_to_time(plan, settings(), CPU, train_cases=4, validation_windows=1, seconds_left=100.0, known=kept)
    assert fitted.mixed_precision and fitted.reasons["arithmetic"] == kept[2]
    assert fitted.epochs == int(100 / (0.5 * 1.15 * plan.steps_per_epoch))
    assert "0.57 s a step" in fitted.reasons["epochs"]


def test_other_classes_are_no_other_step(plan: Plan) -> None:
    old = model_of(plan, network={**plan.network, "out_channels": plan.network["out_channels"] + 3})
    assert as_before(plan, old, settings(), CPU, None)


def test_a_batch_that_was_divided_for_want_of_memory_is_divided_again(plan: Plan) -> None:
    plan = replace(plan, batch_size=4)
    kept = as_before(plan, _parts(plan), settings(), CPU, None)
    assert kept is not None and (kept[0].batch_size, kept[0].batch_parts) == (2, 2)


def _parts(plan: Plan) -> StartModel:
    model = model_of(plan)
    return replace(model, plan=replace(model.plan, batch_size=2, batch_parts=2))


def test_compiling_has_to_be_worth_its_time(plan: Plan) -> None:
    def compiled(seconds: float | None) -> bool:
        kept = as_before(plan, model_of(plan, compiled=True), settings(), CPU, seconds)
        assert kept is not None
        return kept[0].compiled

    assert [compiled(seconds) for seconds in (None, COMPILED_FROM, COMPILED_FROM - 1)] == [True, True, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"reasons": {"device": "NVIDIA", "split": ""}}, {"patch_size": (8, 8, 8)}, {"batch_size": 7}, {"dims": 2},
        {"architecture": "SegResNet"},
    ],
)  # fmt: skip
def test_another_step_is_measured(plan: Plan, changes: dict[str, Any]) -> None:
    model = model_of(plan)
    assert as_before(plan, replace(model, plan=replace(model.plan, **changes)), settings(), CPU, None) is None


def test_another_network_is_measured(plan: Plan) -> None:
    wider = {**plan.network, "features": [2 * maps for maps in plan.network["features"]]}
    assert as_before(plan, model_of(plan, network=wider), settings(), CPU, None) is None


@pytest.mark.parametrize("trainer", [{"mixed_precision": False}, {"channels_last": False}, {"compile": True}])
def test_who_asks_for_other_arithmetic_gets_it_measured(plan: Plan, trainer: dict[str, Any]) -> None:
    assert as_before(plan, model_of(plan), settings(**trainer), CPU, None) is None


def test_where_nobody_knows_it_is_measured(plan: Plan) -> None:
    assert as_before(plan, replace(model_of(plan), step_seconds=None), settings(), CPU, None) is None


def test_what_may_not_fit_is_measured(plan: Plan) -> None:
    plan = replace(plan, batch_size=10**9)
    assert as_before(plan, model_of(plan), settings(), CPU, None) is None
    assert as_before(plan, model_of(plan), settings(), torch.device("cuda"), None) is not None
