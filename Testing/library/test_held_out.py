"""Dice on held-out volumes while training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSegTrainerLib.data.cache import CachedCase
from MedSegTrainerLib.held_out import HeldOut, HeldOutDice, network_divisor, summarise
from MedSegTrainerLib.metrics import dice_from_counts
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.plan import Plan

Weights = dict[str, torch.Tensor]


def case(name: str, seed: int, size: tuple[int, int, int] = (5, 19, 14)) -> CachedCase:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn((1, *size), generator=generator)
    label = torch.randint(0, 3, size, generator=generator, dtype=torch.uint8)
    return CachedCase(name=name, image=image, label=label, locations=torch.zeros((0, 4), dtype=torch.int32))


def fresh_weights(plan: Plan) -> Weights:
    torch.manual_seed(6)
    return build_network(plan.architecture, plan.network).state_dict()


def always(plan: Plan, index: int) -> Weights:
    """Weights that give every voxel to one class."""
    weights = fresh_weights(plan)
    weights["heads.0.weight"].zero_()
    weights["heads.0.bias"].zero_()[index] = 1.0
    return weights


def flat(plan: Plan) -> Plan:
    network = {**plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    return replace(plan, dims=2, patch_size=(1, 8, 12), network=network)


class TestJudge:
    def test_a_constant_prediction_by_hand(self, tiny_plan: Plan, cpu: torch.device) -> None:
        one = case("a", 1)
        judged = HeldOut([one], tiny_plan, cpu).judge(always(tiny_plan, 2))
        cysts = int((one.label == 2).sum())
        wanted = 2 * cysts / (cysts + one.label.numel())
        assert judged.per_case["a"] == {"kidney": 0.0, "cyst": pytest.approx(wanted)}
        assert judged.mean == pytest.approx(wanted / 2)

    def test_a_class_stuck_at_zero_is_named_and_pulls_the_mean_down(self, tiny_plan: Plan, cpu: torch.device) -> None:
        judged = HeldOut([case("a", 1), case("b", 2)], tiny_plan, cpu).judge(always(tiny_plan, 2))
        assert judged.zero_classes == ("kidney",)
        assert judged.per_class["kidney"] == 0
        assert judged.mean == pytest.approx((judged.per_class["cyst"] or 0) / 2)

    @pytest.mark.parametrize("dims", [2, 3])
    @pytest.mark.parametrize("channels_last", [False, True])
    def test_volumes_in_one_window_agree_with_metrics(
        self, tiny_plan: Plan, cpu: torch.device, dims: int, channels_last: bool
    ) -> None:
        plan = replace(tiny_plan if dims == 3 else flat(tiny_plan), channels_last=channels_last)
        one = case("a", 3, size=(4, 8, 12))
        weights = fresh_weights(plan)
        network = build_network(plan.architecture, plan.network).eval()
        network.load_state_dict(weights)
        with torch.no_grad():
            image = one.image[None] if dims == 3 else one.image.transpose(0, 1)
            logits = network(image)[0]
        predicted = (logits[0].argmax(0) if dims == 3 else logits.argmax(1)).numpy()
        reference = one.label.numpy()
        judged = HeldOut([one], plan, cpu).judge(weights)
        for index, name in enumerate(plan.class_names, start=1):
            both = np.logical_and(predicted == index, reference == index).sum()
            wanted = dice_from_counts(float(both), (predicted == index).sum(), (reference == index).sum())
            assert judged.per_case["a"][name] == pytest.approx(wanted)
        assert len(np.unique(predicted)) > 1

    def test_other_weights_other_result(self, tiny_plan: Plan, cpu: torch.device) -> None:
        held_out = HeldOut([case("a", 1)], tiny_plan, cpu)
        first = held_out.judge(always(tiny_plan, 1))
        assert held_out.judge(always(tiny_plan, 2)).per_class != first.per_class
        assert held_out.judge(always(tiny_plan, 1)) == first

    def test_tells_after_each_case(self, tiny_plan: Plan, cpu: torch.device) -> None:
        told: list[int] = []
        HeldOut([case("a", 1), case("b", 2)], tiny_plan, cpu).judge(always(tiny_plan, 1), lambda: told.append(1))
        assert len(told) == 2


class TestSummarise:
    def summary(self, *values: float | None) -> HeldOutDice:
        return summarise({str(i): {"kidney": value} for i, value in enumerate(values)}, ["kidney"])

    def test_cases_without_the_class_are_left_out(self) -> None:
        assert self.summary(0.8, None, 0.4).per_class == {"kidney": pytest.approx(0.6)}

    def test_a_class_of_no_case_is_unknown_and_not_zero(self) -> None:
        judged = summarise({"a": {"kidney": 0.5, "cyst": None}}, ["kidney", "cyst"])
        assert judged.per_class == {"kidney": 0.5, "cyst": None}
        assert judged.mean == 0.5
        assert judged.zero_classes == ()

    def test_classes_weigh_alike_however_many_cases_have_them(self) -> None:
        per_case = {"a": {"kidney": 1.0, "cyst": 0.2}, "b": {"kidney": 0.8, "cyst": None}}
        assert summarise(per_case, ["kidney", "cyst"]).mean == pytest.approx((0.9 + 0.2) / 2)

    def test_nothing_known(self) -> None:
        assert self.summary(None).mean == 0.0


def test_the_divisor_is_the_product_of_the_strides(tiny_plan: Plan) -> None:
    assert network_divisor(tiny_plan) == (1, 2, 2)
    assert network_divisor(flat(tiny_plan)) == (1, 2, 2)
    deeper = {**tiny_plan.network, "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 1], [2, 1, 2]]}
    assert network_divisor(replace(tiny_plan, network=deeper)) == (4, 4, 4)
