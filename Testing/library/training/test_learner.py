"""One training step on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import LossConfig, OptimizerConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.training.learner import Learner

PLAIN_SGD = OptimizerConfig(momentum=0.0)


def learner(plan: Plan, **trainer: object) -> Learner:
    torch.manual_seed(11)
    config = TrainConfig(optimizer=PLAIN_SGD, trainer=TrainerConfig(**trainer))  # type: ignore[arg-type]
    return Learner(plan, config, torch.device("cpu"))


def batch(plan: Plan, count: int = 2, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((count, 1, *plan.patch_size), generator=generator)
    return images, (images[:, 0] > 0.5).to(torch.int16) + (images[:, 0] > 1).to(torch.int16)


def weights(one: Learner) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in one.network.named_parameters()}


def sgd(plan: Plan, **changes: object) -> Plan:
    return replace(plan, optimizer_type="SGD", weight_decay=0.0, gradient_clip=None, **changes)


def in_2d(plan: Plan) -> Plan:
    network = {**plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    return replace(plan, dims=2, patch_size=(1, 8, 12), network=network)


class TestStep:
    @pytest.mark.parametrize("dims", [2, 3])
    @pytest.mark.parametrize("channels_last", [False, True])
    def test_moves_every_weight(self, tiny_plan: Plan, dims: int, channels_last: bool) -> None:
        plan = replace(tiny_plan if dims == 3 else in_2d(tiny_plan), channels_last=channels_last)
        one = learner(plan)
        before = weights(one)
        loss, norm = one.step([batch(plan)], 1, 1e-2)
        assert float(loss) > 0 and float(norm) > 0
        assert [name for name, value in weights(one).items() if torch.equal(value, before[name])] == []

    def test_the_loss_falls(self, tiny_plan: Plan) -> None:
        one, data = learner(tiny_plan), batch(tiny_plan)
        losses = [float(one.step([data], 1, 1e-2)[0]) for _ in range(12)]
        assert losses[-1] < 0.8 * losses[0]

    def test_the_rate_scales_the_move(self, tiny_plan: Plan) -> None:
        moves = []
        for rate in (0.01, 0.02):
            one = learner(sgd(tiny_plan))
            before = weights(one)
            one.step([batch(tiny_plan)], 1, rate)
            moves.append(weights(one)["encoder.0.0.body.0.weight"] - before["encoder.0.0.body.0.weight"])
        torch.testing.assert_close(2 * moves[0], moves[1], atol=1e-6, rtol=1e-3)

    def test_the_average_follows(self, tiny_plan: Plan) -> None:
        one = learner(tiny_plan)
        before = weights(one)
        one.step([batch(tiny_plan)], 1, 1e-2)
        name = "heads.0.weight"
        expected = before[name] + (weights(one)[name] - before[name]) * 9 / 11
        torch.testing.assert_close(one.average.weights[name], expected)

    def test_memory_order_changes_nothing(self, tiny_plan: Plan) -> None:
        results = []
        for channels_last in (False, True):
            one = learner(sgd(tiny_plan, channels_last=channels_last))
            one.step([batch(tiny_plan)], 1, 0.1)
            results.append(weights(one))
        for name, value in results[0].items():
            torch.testing.assert_close(results[1][name], value, atol=1e-4, rtol=1e-3)

    def test_mixed_precision_keeps_weights_in_32_bits(self, tiny_plan: Plan) -> None:
        one = learner(replace(tiny_plan, mixed_precision=True))
        images, _ = batch(tiny_plan)
        assert one.forward(images)[0].dtype == torch.bfloat16
        loss, _ = one.step([batch(tiny_plan)], 1, 1e-2)
        assert loss.dtype == torch.float32 and bool(torch.isfinite(loss))
        assert {value.dtype for value in weights(one).values()} == {torch.float32}


class TestAccumulation:
    @pytest.mark.parametrize("parts", [2, 4])
    def test_of_cross_entropy_equals_the_big_batch(self, tiny_plan: Plan, parts: int) -> None:
        plan = sgd(tiny_plan, loss=LossConfig(loss_type="cross_entropy"))
        images, labels = batch(plan, count=4)
        whole, split = learner(plan), learner(plan)
        loss, norm = whole.step([(images, labels)], 1, 0.5)
        pieces = zip(images.chunk(parts), labels.chunk(parts), strict=True)
        loss_of_parts, norm_of_parts = split.step(pieces, parts, 0.5)
        torch.testing.assert_close(loss_of_parts, loss)
        torch.testing.assert_close(norm_of_parts, norm, atol=1e-5, rtol=1e-4)
        for name, value in weights(whole).items():
            torch.testing.assert_close(weights(split)[name], value, atol=1e-5, rtol=1e-4)

    def test_gradients_do_not_outlive_a_step(self, tiny_plan: Plan) -> None:
        one = learner(sgd(tiny_plan))
        first = one.step([batch(tiny_plan)], 1, 0.0)[1]
        torch.testing.assert_close(one.step([batch(tiny_plan)], 1, 0.0)[1], first)


class TestClipping:
    def moved(self, one: Learner, plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
        """The change of all weights by a step of rate 1, and the norm that was told."""
        before = weights(one)
        _, norm = one.step([batch(plan)], 1, 1.0)
        return torch.cat([(value - before[name]).flatten() for name, value in weights(one).items()]), norm

    def test_none(self, tiny_plan: Plan) -> None:
        change, norm = self.moved(learner(sgd(tiny_plan)), tiny_plan)
        assert float(norm) > 0.05  # else the limits below would clip nothing
        assert float(change.norm()) == pytest.approx(float(norm), rel=1e-3)

    def test_by_norm(self, tiny_plan: Plan) -> None:
        plan = replace(sgd(tiny_plan), gradient_clip=0.01)
        change, norm = self.moved(learner(plan), plan)
        assert float(change.norm()) == pytest.approx(0.01, rel=1e-2)
        assert float(norm) > 0.05

    def test_by_value(self, tiny_plan: Plan) -> None:
        plan = replace(sgd(tiny_plan), gradient_clip=1e-3)
        change, norm = self.moved(learner(plan, gradient_clip_type="value"), plan)
        assert float(change.abs().max()) == pytest.approx(1e-3, rel=1e-2)
        assert float(norm) > 0.05


class TestMixedBatches:
    def test_the_loss_is_that_of_both_labels_by_their_shares(self, tiny_plan: Plan) -> None:
        one = learner(sgd(tiny_plan))
        images, labels = batch(tiny_plan)[:2]
        other = labels.roll(1, 0)
        first, second = (float(one.step([(images, part)], 1, 0.0)[0]) for part in (labels, other))
        assert first != pytest.approx(second, abs=1e-3)
        mixed = float(one.step([(images, labels, other, 0.7)], 1, 0.0)[0])
        assert mixed == pytest.approx(0.7 * first + 0.3 * second, abs=1e-5)


def test_broken_weights_are_noticed(tiny_plan: Plan) -> None:
    one = learner(tiny_plan)
    assert one.is_finite()
    with torch.no_grad():
        next(one.network.parameters()).view(-1)[3] = float("inf")
    assert not one.is_finite()


def test_the_boundary_term_knows_the_voxels(tiny_plan: Plan) -> None:
    """Distances in z, where voxels are three times as long, count three times as much."""
    one = learner(replace(tiny_plan, loss=LossConfig(loss_type="boundary"), spacing=(3.0, 1.0, 1.0)))
    one.loss.ramp = 1.0
    far = []
    for axis in (1, 3):
        labels = torch.zeros((1, 9, 9, 9), dtype=torch.int16)
        labels.narrow(axis, 0, 3).fill_(1)
        logits = torch.where(labels == 1, 9.0, -9.0)
        logits.narrow(axis, 8, 1).fill_(9.0)
        far.append(float(one.loss([torch.stack([-logits, logits, logits - 99], 1)], labels)))
    assert far[0] > 2.5 * far[1] > 0


class TestBegunAsAModel:
    def test_weights_and_their_average_are_those_of_the_model(self, tiny_plan: Plan) -> None:
        model = learner(tiny_plan).average.weights
        torch.manual_seed(99)
        begun = Learner(tiny_plan, TrainConfig(), torch.device("cpu"), begin_as=model)
        for name, value in begun.network.state_dict().items():
            assert torch.equal(value, model[name]) and torch.equal(begun.average.weights[name], model[name])

    def test_what_is_held_stays_to_the_bit_and_goes_on_afterwards(self, tiny_plan: Plan) -> None:
        one = learner(replace(tiny_plan, optimizer_type="AdamW"))
        before = weights(one)
        one.hold({"heads.0.weight", "heads.0.bias"})
        for seed in range(3):
            one.step([batch(tiny_plan, seed=seed)], 1, 1e-2)
        moved = {name for name, value in weights(one).items() if not torch.equal(value, before[name])}
        assert moved == {"heads.0.weight", "heads.0.bias"}
        one.hold(None)
        one.step([batch(tiny_plan)], 1, 1e-2)
        assert not [name for name, value in weights(one).items() if torch.equal(value, before[name])]
