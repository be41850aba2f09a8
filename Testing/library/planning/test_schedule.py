"""Epochs, warm-up, validations and width from the time there is; steps are really measured, on tiny networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import NetworkConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.planning.schedule import (
    CURVE_POINTS,
    epochs_in,
    few_steps,
    fit_to_time,
    share_for_time,
)


def fit(plan: Plan, *, cases: int = 10, windows: int = 4, seconds: float | None = None, **trainer: object) -> Plan:
    fixed: dict[str, object] = {"mixed_precision": False, "channels_last": False, **trainer}
    config = TrainConfig(
        network=NetworkConfig(base_channels=4),
        trainer=TrainerConfig(**fixed),  # type: ignore[arg-type]
    )
    return fit_to_time(
        plan, config, torch.device("cpu"), train_cases=cases, validation_windows=windows, seconds_left=seconds
    )


SMALLEST = 1 / 6


def share(plan: Plan, seconds: float, devices: int = 1) -> tuple[float, str, list[float]]:
    """The share, its reason, and the shares that were tried."""
    tried: list[float] = []

    def plan_with(share: float) -> Plan:
        tried.append(share)
        return replace(plan, patch_size=(4, 8, max(2, round(72 * share / 2) * 2)), batch_size=2 * devices)

    config = TrainConfig(trainer=TrainerConfig(mixed_precision=False, channels_last=False))
    chosen, reason = share_for_time(plan_with, SMALLEST, config, torch.device("cpu"), seconds, devices)
    return chosen, reason, tried


class TestShareForTime:
    def test_much_time_gives_the_full_patch_after_one_quick_measurement(self, tiny_plan: Plan) -> None:
        assert share(tiny_plan, 1e6) == (1.0, "", [SMALLEST])

    @pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-3])
    def test_no_time_gives_the_smallest(self, tiny_plan: Plan, seconds: float) -> None:
        chosen, reason, tried = share(tiny_plan, seconds)
        assert chosen == SMALLEST and tried == [SMALLEST]
        assert "small enough for" in reason and "steps in the time left" in reason

    def test_nothing_smaller_than_a_full_patch_is_measured_where_nothing_smaller_may_be(self, tiny_plan: Plan) -> None:
        config = TrainConfig()
        assert share_for_time(lambda _: tiny_plan, 1.2, config, torch.device("cpu"), 1.0) == (1.0, "")

    def test_devices_divide_the_batch(self, tiny_plan: Plan) -> None:
        """Batches of 1000 on 500 devices are as quick as batches of 2 on one."""
        assert share(tiny_plan, 1e4, 500)[0] == 1.0


@pytest.fixture
def named(tiny_plan: Plan) -> Plan:
    """With a network that was chosen by name."""
    network = {"in_channels": 1, "out_channels": 3, "base_channels": 4, "norm": "instance", "dropout": 0.0}
    return replace(tiny_plan, architecture="UNet3D", network=network, patch_size=(16, 16, 32), batch_size=1)


class TestEpochs:
    def test_set_by_hand(self, tiny_plan: Plan) -> None:
        plan = fit(tiny_plan, epochs=7, seconds=1000.0)
        assert plan.epochs == 7
        assert plan.reasons["epochs"] == "set by the configuration"

    @pytest.mark.parametrize(("cases", "epochs"), [(1, 200), (49, 200), (50, 150), (200, 150), (201, 125)])
    def test_of_the_guide_without_a_budget(self, tiny_plan: Plan, cases: int, epochs: int) -> None:
        plan = fit(tiny_plan, cases=cases)
        assert plan.epochs == epochs
        assert plan.reasons["epochs"].startswith("guide")

    def test_a_longer_budget_gives_more(self, tiny_plan: Plan) -> None:
        short, long = fit(tiny_plan, seconds=5.0), fit(tiny_plan, seconds=500.0)
        assert long.epochs > 10 * short.epochs
        assert "s a step" in long.reasons["epochs"]

    @pytest.mark.parametrize("seconds", [-3.0, 0.0, 1e-9])
    def test_no_time_at_all_is_one_epoch(self, tiny_plan: Plan, seconds: float) -> None:
        assert fit(tiny_plan, seconds=seconds).epochs == 1

    def test_a_budget_tells_the_row_of_the_guide_too(self, named: Plan) -> None:
        plan = fit(named, seconds=3.0)
        assert "3s left" in plan.reasons["epochs"]
        assert "100-200 for U-Net, V-Net, SegResNet" in plan.reasons["epochs"]

    def test_whole_epochs_in_a_time(self) -> None:
        assert epochs_in(100.0, 0.5, 25) == 8
        assert epochs_in(105.0, 0.5, 25) == 8
        assert epochs_in(3.0, 0.5, 25) == 1


class TestFewSteps:
    def test_a_short_budget_warns_with_both_numbers(self, named: Plan) -> None:
        config = TrainConfig()
        warning = few_steps(replace(named, epochs=3, steps_per_epoch=10, batch_size=2), config, 100)
        assert warning is not None
        assert "UNet3D gets about 30 steps in this time; the guide's 100 epochs would be 5000" in warning

    def test_enough_steps_need_no_word(self, named: Plan) -> None:
        assert few_steps(replace(named, epochs=300, steps_per_epoch=10, batch_size=2), TrainConfig(), 100) is None

    def test_neither_do_epochs_set_by_hand(self, named: Plan) -> None:
        config = TrainConfig(trainer=TrainerConfig(epochs=3))
        assert few_steps(replace(named, epochs=3, steps_per_epoch=10), config, 40) is None

    def test_the_planned_one_is_made_for_it(self, tiny_plan: Plan) -> None:
        assert few_steps(replace(tiny_plan, epochs=1), TrainConfig(), 40) is None


class TestAccumulation:
    def test_takes_its_time(self, tiny_plan: Plan) -> None:
        """Eight batches to a step make about an eighth of the steps in the same time."""
        alone, eight = (fit(tiny_plan, seconds=20.0, gradient_accumulation_steps=count) for count in (1, 8))
        assert eight.epochs < alone.epochs / 2


class TestWarmup:
    def test_a_twentieth_at_most_ten_epochs(self, tiny_plan: Plan) -> None:
        assert fit(tiny_plan, epochs=40).warmup_epochs == pytest.approx(2.0)
        assert fit(tiny_plan, epochs=4000).warmup_epochs == 10.0

    def test_set_by_hand(self, tiny_plan: Plan) -> None:
        assert fit(tiny_plan, epochs=40, warmup_epochs=3.5).warmup_epochs == 3.5

    def test_of_the_guide_for_a_network_chosen_by_name(self, named: Plan) -> None:
        plan = fit(named, epochs=150)
        assert plan.warmup_epochs == 0.0
        assert "recommended for transformers" in plan.reasons["warmup_epochs"]


class TestValidationInterval:
    def test_set_by_hand(self, tiny_plan: Plan) -> None:
        assert fit(tiny_plan, epochs=40, validation_interval=3).validation_interval == 3

    def test_a_long_training_has_a_readable_curve(self, tiny_plan: Plan) -> None:
        plan = replace(tiny_plan, steps_per_epoch=1000)
        assert fit(plan, epochs=10 * CURVE_POINTS).validation_interval == 10

    def test_expensive_validations_are_rare(self, tiny_plan: Plan) -> None:
        assert fit(tiny_plan, epochs=1000, windows=6000).validation_interval > 500
        assert fit(tiny_plan, epochs=1000, windows=1).validation_interval == 1000 // CURVE_POINTS

    @pytest.mark.parametrize(("validation", "points"), [(0.05, 12), (0.1, 6), (0.7, 3), (1.1, 2), (100.0, 1)])
    def test_a_short_training_has_three_points_where_they_can_be_paid(
        self, tiny_plan: Plan, validation: float, points: int
    ) -> None:
        """validation: what one takes, in epochs of 12. A window takes a third of the step of one patch."""
        plan = replace(tiny_plan, steps_per_epoch=100)
        windows = int(validation * 100 * plan.batch_size * 3)
        interval = fit(plan, epochs=12, windows=windows).validation_interval
        assert 12 // interval == points

    def test_there_is_one_at_the_latest_at_the_end(self, tiny_plan: Plan) -> None:
        assert fit(tiny_plan, epochs=3, windows=10**6).validation_interval == 3


class TestWidth:
    def widened(self, plan: Plan, seconds: float, base: int | str = "auto") -> Plan:
        config = TrainConfig(
            network=NetworkConfig(base_channels=base),  # type: ignore[arg-type]
            trainer=TrainerConfig(mixed_precision=False, channels_last=False),
        )
        return fit_to_time(
            plan, config, torch.device("cpu"), train_cases=5, validation_windows=2, seconds_left=seconds
        )  # fmt: skip

    def test_much_time_gives_a_wider_network(self, tiny_plan: Plan) -> None:
        plan = self.widened(tiny_plan, 1e6)
        assert plan.network["features"] == [32, 64]
        assert "32:" in plan.reasons["base_channels"]

    def test_little_time_keeps_it(self, tiny_plan: Plan) -> None:
        plan = self.widened(tiny_plan, 1.0)
        assert plan.network["features"] == tiny_plan.network["features"]

    def test_a_width_set_by_hand_stays(self, tiny_plan: Plan) -> None:
        assert self.widened(tiny_plan, 1e6, base=4).network == tiny_plan.network


def test_a_network_that_fits_nowhere_says_what_to_change(tiny_plan: Plan) -> None:
    """No machine has the memory for so many channels."""
    network = {**tiny_plan.network, "in_channels": 2**44}
    with pytest.raises(TrainingError, match=r"Not even a patch of .* into the memory of this device with PlannedUNet"):
        fit(replace(tiny_plan, network=network), epochs=1)
