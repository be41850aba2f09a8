"""The range test: its curve, its suggestion, its picture, and that the learner is afterwards what it was before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image as mpl_image

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.jobs.find_lr import RateCurve, rates_between, try_rates, unchanged
from MedSegTrainerLib.report.curves import write_rate_curve
from MedSegTrainerLib.training.learner import Learner


def curve_of(losses: list[float], *, lowest: float = 1e-6, highest: float = 1.0) -> RateCurve:
    curve = RateCurve(len(losses))
    for rate, loss in zip(rates_between(lowest, highest, len(losses)), losses, strict=True):
        curve.add(rate, loss)
    return curve


def valley(middle: float, *, noise: float = 0.0, steps: int = 200) -> RateCurve:
    """A loss that falls from 1.2 to 0.2 around a rate, over two decades, and rises at the end."""
    rates = np.array(rates_between(1e-6, 1.0, steps))
    fall = 1 / (1 + np.exp(4 * (np.log10(rates) - math.log10(middle))))
    rise = np.maximum(0, np.log10(rates) + 1) * 3
    losses = 0.2 + fall + rise + noise * np.random.default_rng(4).standard_normal(steps)
    return curve_of(losses.tolist())


def batches(plan: Plan, seed: int = 0) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        labels = torch.randint(0, 3, (plan.batch_size, *plan.patch_size), generator=generator).to(torch.int16)
        noise = torch.randn((plan.batch_size, 1, *plan.patch_size), generator=generator)
        yield labels[:, None].float() + 0.3 * noise, labels


@pytest.fixture
def learner(tiny_plan: Plan, cpu: torch.device) -> Learner:
    torch.manual_seed(2)
    return Learner(tiny_plan, TrainConfig(), cpu)


def everything(learner: Learner) -> dict[str, torch.Tensor]:
    """All that a checkpoint holds of a learner, copied."""
    tensors = {f"network.{name}": value for name, value in learner.network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in learner.average.weights.items()}
    for index, state in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["rates"] = torch.tensor([group["lr"] for group in learner.optimizer.param_groups])
    tensors["average steps"] = torch.tensor(learner.average.steps)
    tensors["random"] = torch.random.get_rng_state()
    return {name: value.clone() for name, value in tensors.items()}


class TestCurve:
    def test_rates_are_equal_factors_apart(self) -> None:
        rates = rates_between(1e-7, 1.0, 50)
        assert (rates[0], rates[-1]) == pytest.approx((1e-7, 1.0))
        assert np.ptp(np.diff(np.log(rates))) < 1e-9

    def test_smoothed_is_an_exponential_average_without_bias(self) -> None:
        """100 steps look 5 steps back: 0.8 of the old, 0.2 of the new."""
        curve = RateCurve(100)
        for loss in (3.0, 1.0, 2.0):
            curve.add(1e-3, loss)
        second = (0.8 * 3 + 1) / 1.8
        third = (0.64 * 3 + 0.8 * 1 + 2) / (0.64 + 0.8 + 1)
        assert curve.smoothed == pytest.approx([3.0, second, third])

    def test_a_constant_loss_stays_what_it_is(self) -> None:
        assert curve_of([0.7] * 40).smoothed == pytest.approx([0.7] * 40)

    @pytest.mark.parametrize(
        ("losses", "exploded"),
        [([0.5, 0.5, 1.9], False), ([0.5, 0.5, 2.1], True), ([0.5, math.nan], True), ([0.5, math.inf], True),
         ([-0.5, -0.49], False), ([-0.5, 1.1], True)],
        ids=["below four times the best", "above", "not a number", "infinite", "negative", "negative, above"],
    )  # fmt: skip
    def test_ends_at_four_times_the_best(self, losses: list[float], exploded: bool) -> None:
        curve = RateCurve(20)  # so few steps are not smoothed
        for loss in losses:
            curve.add(1e-3, loss)
        assert curve.has_exploded == exploded


class TestSuggestion:
    @pytest.mark.parametrize("middle", [1e-4, 3e-3])
    @pytest.mark.parametrize("noise", [0.0, 0.03])
    def test_is_where_the_loss_falls_most_steeply(self, middle: float, noise: float) -> None:
        suggestion = valley(middle, noise=noise).suggestion()
        assert suggestion is not None
        assert 0.4 * middle < suggestion < 2.5 * middle

    def test_of_a_long_even_fall_is_the_low_end(self) -> None:
        """From 1e-4 to 1e-1 no rate is better than another: the smallest is the safest."""
        rates = np.array(rates_between(1e-6, 1.0, 200))
        suggestion = curve_of((1.2 - 0.3 * np.clip(np.log10(rates) + 4, 0, 3)).tolist()).suggestion()
        assert suggestion is not None
        assert 1e-4 < suggestion < 1e-3

    def test_has_two_digits(self) -> None:
        suggestion = valley(1.234e-3).suggestion()
        assert suggestion is not None
        assert float(f"{suggestion:.2g}") == suggestion

    def test_a_fall_in_the_noisy_beginning_does_not_count(self) -> None:
        losses = [1.5, 1.3, 1.1] + [1.0] * 67
        losses += [1.0 - 0.02 * i for i in range(20)] + [0.6] * 110
        suggestion = curve_of(losses).suggestion()
        assert suggestion is not None
        rates = rates_between(1e-6, 1.0, 200)
        assert rates[65] < suggestion < rates[100]

    def test_the_way_down_after_an_explosion_does_not_count(self) -> None:
        losses = [1.0] * 50 + [1.0 - 0.01 * i for i in range(50)] + [1.5] * 50 + [0.6] * 50
        suggestion = curve_of(losses).suggestion()
        assert suggestion is not None
        assert suggestion < rates_between(1e-6, 1.0, 200)[110]

    @pytest.mark.parametrize("steps", [20, 60, 200])
    @pytest.mark.parametrize("seed", range(6))
    def test_none_in_noise_alone(self, steps: int, seed: int) -> None:
        assert curve_of((1 + 0.1 * np.random.default_rng(seed).standard_normal(steps)).tolist()).suggestion() is None

    @pytest.mark.parametrize(
        "losses",
        [[1.0] * 100, [1.0 + 0.01 * i for i in range(100)], [math.nan] * 3, [1.0] * 12,
         (1 + 0.1 * np.random.default_rng(1).standard_normal(100)).tolist()],
        ids=["level", "rising", "not a number", "ended at once", "noise"],
    )  # fmt: skip
    def test_none_where_nothing_falls(self, losses: list[float]) -> None:
        curve = RateCurve(100)
        for rate, loss in zip(rates_between(1e-6, 1.0, 100), losses, strict=False):
            curve.add(rate, loss)
        assert curve.suggestion() is None


class TestLearner:
    def test_is_what_it_was_before_bit_for_bit(self, learner: Learner, tiny_plan: Plan) -> None:
        source = batches(tiny_plan)
        for _ in range(3):
            learner.step([next(source)], 1, 1e-3)
        learner.network.eval()
        before = everything(learner)
        assert any(name.startswith("optimizer.") for name in before)
        try_rates(learner, source, 1, rates_between(1e-5, 10.0, 20))
        after = everything(learner)
        assert before.keys() == after.keys()
        assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
        assert not learner.network.training
        assert all(parameter.grad is None for parameter in learner.network.parameters())

    def test_a_fresh_one_too(self, learner: Learner, tiny_plan: Plan) -> None:
        before = everything(learner)
        try_rates(learner, batches(tiny_plan), 1, rates_between(1e-5, 1.0, 20))
        assert learner.optimizer.state_dict()["state"] == {}
        assert all(torch.equal(value, everything(learner)[name]) for name, value in before.items())

    def test_trains_afterwards_as_if_nothing_had_been(self, tiny_plan: Plan, cpu: torch.device) -> None:
        ends = []
        for with_test in (False, True):
            torch.manual_seed(2)
            learner = Learner(tiny_plan, TrainConfig(), cpu)
            if with_test:
                try_rates(learner, batches(tiny_plan, seed=9), 1, rates_between(1e-5, 1.0, 20))
            source = batches(tiny_plan)
            ends.append([float(learner.step([next(source)], 1, 1e-2)[0]) for _ in range(4)])
        assert ends[0] == ends[1]

    def test_is_restored_after_an_error(self, learner: Learner) -> None:
        before = everything(learner)
        with pytest.raises(RuntimeError, match="broken"), unchanged(learner):
            with torch.no_grad():
                next(learner.network.parameters()).fill_(7.0)
            raise RuntimeError("broken")
        assert all(torch.equal(value, everything(learner)[name]) for name, value in before.items())

    def test_each_step_has_the_next_rate_and_its_batches(self, learner: Learner, tiny_plan: Plan) -> None:
        taken = 0

        def counted() -> Iterator[Batch]:
            nonlocal taken
            for batch in batches(tiny_plan):
                taken += 1
                yield batch

        curve = try_rates(learner, counted(), 3, rates_between(1e-6, 1e-4, 20))
        assert taken == 60
        assert curve.rates == rates_between(1e-6, 1e-4, 20)

    def test_what_can_be_learned_falls_and_has_a_suggestion(self, learner: Learner, tiny_plan: Plan) -> None:
        curve = try_rates(learner, batches(tiny_plan), 1, rates_between(1e-6, 1.0, 100))
        assert min(curve.smoothed) < 0.8 * curve.smoothed[0]
        suggestion = curve.suggestion()
        assert suggestion is not None
        assert 1e-4 < suggestion < 0.3

    def test_a_loss_that_is_not_a_number_ends_it(self, learner: Learner, tiny_plan: Plan) -> None:
        def broken() -> Iterator[Batch]:
            for index, (images, labels, *_) in enumerate(batches(tiny_plan)):
                yield (images * math.nan if index >= 7 else images), labels

        curve = try_rates(learner, broken(), 1, rates_between(1e-6, 1e-4, 20))
        assert len(curve.losses) == 8
        assert math.isnan(curve.losses[-1])
        assert learner.is_finite()

    def test_ends_when_asked_to(self, learner: Learner, tiny_plan: Plan) -> None:
        curve = try_rates(learner, batches(tiny_plan), 1, rates_between(1e-6, 1e-4, 20), lambda done: done < 5)
        assert len(curve.rates) == 5

    def test_an_explosion_ends_it(self, tiny_plan: Plan, cpu: torch.device) -> None:
        plan = replace(tiny_plan, optimizer_type="SGD", gradient_clip=None, loss=replace(
            tiny_plan.loss, loss_type="cross_entropy"
        ))  # fmt: skip
        torch.manual_seed(2)
        curve = try_rates(Learner(plan, TrainConfig(), cpu), batches(plan), 1, rates_between(1e-3, 1e6, 60))
        assert len(curve.rates) < 60
        assert curve.has_exploded


class TestPicture:
    def test_marks_the_suggestion(self, tmp_path: Path) -> None:
        curve = valley(1e-3, noise=0.05)
        pictures = []
        for name, suggestion in (("with", curve.suggestion()), ("without", None)):
            path = tmp_path / "report" / f"{name}.png"
            write_rate_curve(curve.rates, curve.losses, curve.smoothed, suggestion, path)
            pictures.append(mpl_image.imread(path)[..., :3])
        assert pictures[0].shape == pictures[1].shape
        reddish = [(p[..., 0] > p[..., 1] + 0.3).sum() for p in pictures]
        assert reddish[0] > 300 and reddish[1] == 0

    @pytest.mark.parametrize("losses", [[1.0, math.nan], [math.nan], [1.0] * 30, [1.0, 0.5, 1e9]])
    def test_of_a_test_that_went_wrong(self, tmp_path: Path, losses: list[float]) -> None:
        curve = curve_of(losses) if len(losses) > 1 else RateCurve(20)
        if not curve.rates:
            curve.add(1e-6, math.nan)
        write_rate_curve(curve.rates, curve.losses, curve.smoothed, None, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").stat().st_size > 1000
