"""What is made smaller, in which order, where memory runs out."""

from __future__ import annotations

from dataclasses import replace

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.inference.memory_fallback import Placement, lighter

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def ladder(placement: Placement, trained: Plan) -> list[Placement]:
    steps = []
    while (fallback := lighter(placement, [trained])) is not None:
        placement, message = fallback
        assert message.endswith(".")
        steps.append(placement)
        assert len(steps) < 50
    return steps


def large(plan: Plan) -> Plan:
    return replace(plan, patch_size=(32, 64, 64), batch_size=4)


class TestLighter:
    def test_sums_leave_the_gpu_then_windows_shrink_then_the_cpu(self, tiny_plan: Plan) -> None:
        plan = large(tiny_plan)
        steps = ladder(Placement(device=GPU, plans=(plan,)), plan)
        assert steps[0] == Placement(device=GPU, plans=(plan,), sums_on=CPU)
        assert [step.plans[0].batch_size for step in steps[1:3]] == [2, 1]
        on_cpu = [index for index, step in enumerate(steps) if step.device == CPU]
        assert steps[on_cpu[0]] == Placement(device=CPU, plans=(plan,))  # with the trained windows
        assert steps[on_cpu[0] - 1].plans[0].patch_size != plan.patch_size

    def test_windows_never_fall_below_a_quarter(self, tiny_plan: Plan) -> None:
        plan = large(tiny_plan)
        steps = ladder(Placement(device=CPU, plans=(plan,)), plan)
        sizes = [torch.Size(step.plans[0].patch_size).numel() for step in steps]
        assert min(sizes) >= 32 * 64 * 64 / 4 and min(sizes) < 32 * 64 * 64

    def test_a_network_of_one_size_keeps_it(self, tiny_plan: Plan) -> None:
        plan = replace(large(tiny_plan), architecture="UNETR")
        steps = ladder(Placement(device=CPU, plans=(plan,)), plan)
        assert {step.plans[0].patch_size for step in steps} == {plan.patch_size}
        assert steps[-1].plans[0].batch_size == 1
