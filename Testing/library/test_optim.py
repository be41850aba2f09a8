"""Learning rates at steps where they are known, and which weights decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from MedSegTrainerLib.config import OptimizerConfig
from MedSegTrainerLib.models.norm import InstanceNormAct
from MedSegTrainerLib.optim import OPTIMIZERS, SCHEDULES, build_optimizer, rate_at, set_rate


def rate(step: int, schedule: str, *, warmup: int = 10, eta_min: float = 0.0) -> float:
    return rate_at(step, steps=110, warmup_steps=warmup, peak=0.2, schedule=schedule, eta_min=eta_min)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(1, 3, 3, bias=False), InstanceNormAct(3), nn.Conv3d(3, 2, 1))


class TestRate:
    @pytest.mark.parametrize("schedule", sorted(SCHEDULES))
    def test_rises_in_equal_steps_to_the_peak(self, schedule: str) -> None:
        assert [rate(step, schedule) for step in (0, 4, 9)] == pytest.approx([0.02, 0.1, 0.2])
        assert rate(10, schedule) == pytest.approx(0.2)

    @pytest.mark.parametrize(
        ("schedule", "step", "wanted"),
        [
            ("constant", 60, 0.2),
            ("constant", 109, 0.2),
            ("cosine", 35, 0.2 * 0.853553),
            ("cosine", 60, 0.1),
            ("cosine", 110, 0.0),
            ("polynomial", 60, 0.2 * 0.5**0.9),
            ("polynomial", 100, 0.2 * 0.1**0.9),
            ("polynomial", 110, 0.0),
        ],
    )
    def test_known_steps(self, schedule: str, step: int, wanted: float) -> None:
        assert rate(step, schedule) == pytest.approx(wanted, rel=1e-5, abs=1e-12)

    @pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
    def test_ends_at_the_smallest_rate_and_stays_there(self, schedule: str) -> None:
        assert rate(110, schedule, eta_min=0.01) == pytest.approx(0.01)
        assert rate(500, schedule, eta_min=0.01) == pytest.approx(0.01)
        falling = [rate(step, schedule, eta_min=0.01) for step in range(10, 111)]
        assert falling == sorted(falling, reverse=True)

    @pytest.mark.parametrize("schedule", sorted(SCHEDULES))
    def test_without_warm_up_the_first_step_has_the_peak(self, schedule: str) -> None:
        assert rate(0, schedule, warmup=0) == pytest.approx(0.2)

    def test_a_training_of_nothing_but_warm_up(self) -> None:
        assert rate_at(4, steps=5, warmup_steps=5, peak=1.0, schedule="cosine") == 1.0


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
