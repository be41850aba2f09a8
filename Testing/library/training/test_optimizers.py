"""Learning rates against torch's own schedulers and at known steps, and which weights decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import OptimizerConfig, TrainerConfig
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.instance_norm import InstanceNormAct
from MedSegTrainerLib.training.lr_schedule import SCHEDULES, plateau_patience, plateau_reductions, rate_at
from MedSegTrainerLib.training.optimizers import OPTIMIZERS, build_optimizer, set_rate

PER_EPOCH, EPOCHS, PEAK = 4, 25, 0.2
STEPS = PER_EPOCH * EPOCHS


def rate(step: int, schedule: str, *, warmup: int = 0, reductions: int = 0, **trainer: Any) -> float:
    return rate_at(
        step, steps=STEPS, warmup_steps=warmup, peak=PEAK, trainer=TrainerConfig(**{"eta_min": 0.0, **trainer}),
        schedule=schedule, steps_per_epoch=PER_EPOCH, reductions=reductions,
    )  # fmt: skip


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], PEAK)


def rates_of(scheduler: Any, count: int) -> list[float]:
    """The rates of torch's scheduler before each of its steps."""
    rates = []
    for _ in range(count):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(1, 3, 3, bias=False), InstanceNormAct(3), nn.Conv3d(3, 2, 1))


class TestAgainstTorch:
    @pytest.mark.parametrize(("size", "gamma"), [(7, 0.1), (1, 0.9), (50, 0.5)])
    def test_step_is_that_of_an_epoch(self, size: int, gamma: float) -> None:
        expected = rates_of(lr_scheduler.StepLR(optimizer(), size, gamma), EPOCHS)
        rates = [rate(step, "step", step_size=size, gamma=gamma) for step in range(STEPS)]
        assert rates == pytest.approx([value for value in expected for _ in range(PER_EPOCH)])

    @pytest.mark.parametrize("t_max", ["auto", 10, 1])
    def test_cosine_step_by_step_until_t_max(self, t_max: Any) -> None:
        length = STEPS if t_max == "auto" else t_max * PER_EPOCH
        expected = rates_of(lr_scheduler.CosineAnnealingLR(optimizer(), length, eta_min=0.03), length)
        rates = [rate(step, "cosine", T_max=t_max, eta_min=0.03) for step in range(STEPS)]
        assert rates[:length] == pytest.approx(expected)
        assert rates[length:] == [0.03] * (STEPS - length)  # where torch's climbs again

    def test_cosine_at_the_beginning_of_each_epoch(self) -> None:
        expected = rates_of(lr_scheduler.CosineAnnealingLR(optimizer(), EPOCHS, eta_min=0.03), EPOCHS)
        assert [rate(step, "cosine", eta_min=0.03) for step in range(0, STEPS, PER_EPOCH)] == pytest.approx(expected)

    @pytest.mark.parametrize("power", [0.9, 2.0])
    def test_polynomial(self, power: float) -> None:
        expected = rates_of(lr_scheduler.PolynomialLR(optimizer(), STEPS, power), STEPS)
        assert [rate(step, "polynomial", power=power) for step in range(STEPS)] == pytest.approx(expected)

    def test_constant(self) -> None:
        expected = rates_of(lr_scheduler.ConstantLR(optimizer(), factor=1.0), STEPS)
        assert [rate(step, "constant") for step in range(STEPS)] == expected

    @pytest.mark.parametrize(
        ("schedule", "make"),
        [
            ("cosine", lambda o, left: lr_scheduler.CosineAnnealingLR(o, left)),
            ("polynomial", lambda o, left: lr_scheduler.PolynomialLR(o, left, 0.9)),
            ("constant", lambda o, left: lr_scheduler.ConstantLR(o, 1.0)),
        ],
    )
    def test_linear_warm_up_in_front(self, schedule: str, make: Callable[[torch.optim.Optimizer, int], Any]) -> None:
        warmup = 10
        rising = rates_of(lr_scheduler.LinearLR(optimizer(), start_factor=1 / warmup, total_iters=warmup - 1), warmup)
        falling = rates_of(make(optimizer(), STEPS - warmup), STEPS - warmup)
        assert [rate(step, schedule, warmup=warmup) for step in range(STEPS)] == pytest.approx(rising + falling)

    @pytest.mark.parametrize("patience", [1, 3])
    def test_plateau(self, patience: int) -> None:
        losses = [1.0, 0.8, 0.79999, 0.81, 0.9, 0.85, 0.7, 0.70001, 0.7, 0.71, float("nan"), 0.7, 0.69, 0.7, 0.7]
        losses += [0.7] * 20
        torchs = lr_scheduler.ReduceLROnPlateau(optimizer(), factor=0.5, patience=patience, min_lr=0.003)
        for epoch, loss in enumerate(losses, start=1):
            torchs.optimizer.step()
            torchs.step(loss)
            times = plateau_reductions(losses[:epoch], range(1, epoch + 1), patience)
            actual = rate(epoch, "plateau", reductions=times, factor=0.5, eta_min=0.003)
            assert actual == torchs.optimizer.param_groups[0]["lr"], epoch
        assert actual == 0.003


class TestRate:
    @pytest.mark.parametrize("schedule", sorted(SCHEDULES))
    def test_rises_in_equal_steps_to_the_peak(self, schedule: str) -> None:
        assert [rate(step, schedule, warmup=10) for step in (0, 4, 9)] == pytest.approx([0.02, 0.1, 0.2])
        assert rate(10, schedule, warmup=10) == pytest.approx(0.2)

    @pytest.mark.parametrize("schedule", sorted(SCHEDULES))
    def test_without_warm_up_the_first_step_has_the_peak(self, schedule: str) -> None:
        assert rate(0, schedule) == pytest.approx(0.2)

    @pytest.mark.parametrize("schedule", sorted(SCHEDULES))
    def test_a_training_of_nothing_but_warm_up_ends_at_the_peak(self, schedule: str) -> None:
        assert rate(STEPS - 1, schedule, warmup=STEPS) == PEAK

    def test_step_counts_the_epochs_of_the_warm_up_too(self) -> None:
        """Falls come when the user said, and at whole epochs, however long the warm-up is."""
        rates = [rate(step, "step", warmup=6, step_size=5) for step in range(6, STEPS)]
        assert [step for step in range(7, STEPS) if rates[step - 6] != rates[step - 7]] == [20, 40, 60, 80]

    def test_cosine_reaches_its_end_at_epoch_t_max_in_spite_of_a_warm_up(self) -> None:
        rates = [rate(step, "cosine", warmup=8, T_max=10, eta_min=0.01) for step in range(STEPS)]
        assert rates[39] > 0.01 == rates[40] == rates[-1]
        assert rates[24] == pytest.approx(0.105)

    def test_t_max_before_the_end_of_the_warm_up(self) -> None:
        assert rate(8, "cosine", warmup=8, T_max=1, eta_min=0.01) == 0.01

    @pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
    def test_ends_low_and_stays_there_when_a_budget_adds_steps(self, schedule: str) -> None:
        last = {"cosine": 0.01, "polynomial": 0.0}[schedule]
        assert rate(STEPS, schedule, eta_min=0.01) == rate(5 * STEPS, schedule, eta_min=0.01) == last

    @pytest.mark.parametrize("schedule", ["cosine", "plateau"])
    def test_a_peak_below_the_smallest_rate_is_not_raised(self, schedule: str) -> None:
        assert rate(60, schedule, eta_min=0.5, reductions=2) == pytest.approx(PEAK)


class TestPlateau:
    def test_patience_is_in_epochs_however_rarely_they_are_validated(self) -> None:
        losses = [1.0, 0.9, 0.95, 0.93, 0.92, 0.94]
        assert plateau_reductions(losses, [3, 6, 9, 12, 15, 18], patience=10) == 1
        assert plateau_reductions(losses[:-1], [3, 6, 9, 12, 15], patience=10) == 0

    def test_a_better_loss_restarts_the_patience(self) -> None:
        assert plateau_reductions([1.0, 1.0, 0.5, 0.6, 0.6], [1, 4, 5, 8, 9], patience=4) == 0

    def test_a_negative_loss_must_be_beaten_too(self) -> None:
        """The boundary loss goes below zero; torch would take -0.49999 for better than -0.5."""
        assert plateau_reductions([-0.5, -0.49999, -0.49999], [1, 2, 3], patience=1) == 1
        assert plateau_reductions([-0.5, -0.6, -0.7], [1, 2, 3], patience=1) == 0

    def test_nothing_validated_yet(self) -> None:
        assert plateau_reductions([], [], patience=3) == 0

    @pytest.mark.parametrize(
        ("settings", "patience"),
        [
            ({}, 10),
            ({"patience": 7}, 7),
            ({"patience": 7, "early_stopping": True}, 10),
            ({"lr_patience": 4}, 4),
            ({"lr_patience": 4, "patience": 7}, 4),
            ({"lr_patience": 4, "patience": 7, "early_stopping": True}, 4),
        ],
    )
    def test_whose_patience(self, settings: dict[str, Any], patience: int) -> None:
        assert plateau_patience(TrainerConfig(**settings)) == patience


class TestEveryNetwork:
    @pytest.mark.parametrize("name", sorted(ARCHITECTURES))
    def test_weights_decay_and_norms_and_biases_do_not(
        self, tiny_plan: Plan, small_parameters: Callable[[str], dict[str, Any]], name: str
    ) -> None:
        model = build_network(name, tiny_plan.network if name == PLANNED else small_parameters(name))
        decaying, others = (group["params"] for group in build_optimizer(
            model, "AdamW", 0.1, 0.5, OptimizerConfig()
        ).param_groups)  # fmt: skip
        norms = {id(p) for m in model.modules() if "Norm" in type(m).__name__ for p in m.parameters(recurse=False)}
        biases = {id(p) for path, p in model.named_parameters() if "bias" in path.rpartition(".")[2]}
        positions = {id(p) for path, p in model.named_parameters() if "position" in path}
        assert {id(p) for p in others} >= norms | biases | positions
        assert sum(p.numel() for p in decaying) > 0.9 * sum(p.numel() for p in model.parameters())
        assert len(decaying) + len(others) == len(list(model.parameters()))

    def test_a_table_of_relative_positions_is_a_bias(self, small_parameters: Callable[[str], dict[str, Any]]) -> None:
        model = build_network("SwinUNETR", small_parameters("SwinUNETR"))
        tables = [p for path, p in model.named_parameters() if path.endswith("relative_position_bias_table")]
        decaying = {id(p) for p in build_optimizer(model, "SGD", 0.1, 0.5, OptimizerConfig()).param_groups[0]["params"]}
        assert tables and all(table.ndim == 2 and id(table) not in decaying for table in tables)


class TestOptimizers:
    @pytest.mark.parametrize("name", sorted(OPTIMIZERS))
    def test_norms_and_biases_do_not_decay(self, name: str) -> None:
        """With gradients of zero, decay alone moves weights."""
        model = network()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        optimizer = build_optimizer(model, name, 0.1, 0.5, OptimizerConfig())
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert moved == {"0.weight", "2.weight"}

    @pytest.mark.parametrize("name", sorted(OPTIMIZERS))
    def test_all_weights_follow_their_gradient(self, name: str) -> None:
        model = network()
        before = {key: value.clone() for key, value in model.named_parameters()}
        optimizer = build_optimizer(model, name, 0.1, 0.0, OptimizerConfig())
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 2.0)
        optimizer.step()
        assert all(bool((value < before[key]).all()) for key, value in model.named_parameters())

    def test_adamw_decays_apart_from_the_gradient(self) -> None:
        model = network()
        before = model[0].weight.detach().clone()
        optimizer = build_optimizer(model, "AdamW", 0.1, 0.5, OptimizerConfig())
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        torch.testing.assert_close(model[0].weight.detach(), before * (1 - 0.1 * 0.5))

    def test_settings_reach_the_optimizer(self) -> None:
        config = OptimizerConfig(betas=[0.8, 0.9], eps=1e-4, momentum=0.7, nesterov=True)
        adam = build_optimizer(network(), "Adam", 0.1, 0.0, config).defaults
        assert (adam["betas"], adam["eps"], adam["lr"]) == ((0.8, 0.9), 1e-4, 0.1)
        sgd = build_optimizer(network(), "SGD", 0.1, 0.0, config).defaults
        assert (sgd["momentum"], sgd["nesterov"]) == (0.7, True)

    def test_sgd_without_momentum_has_no_nesterov(self) -> None:
        assert not build_optimizer(network(), "SGD", 0.1, 0.0, OptimizerConfig(momentum=0.0)).defaults["nesterov"]

    def test_set_rate_reaches_every_group(self) -> None:
        optimizer = build_optimizer(network(), "AdamW", 0.1, 0.5, OptimizerConfig())
        set_rate(optimizer, 0.03)
        assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.03]
