"""A compiled network is the same network; what cannot be compiled, or has another shape, goes on as it is.

PyTorch's 'aot_eager' takes the same ways as a compiler, and compiles nothing; so these tests take seconds.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig, TrainerConfig
from MedSegTrainerLib.hardware.device import Precision
from MedSegTrainerLib.planning.step_timing import compiled_if_faster
from MedSegTrainerLib.training.compiled import Compiled, compile_network
from MedSegTrainerLib.training.learner import Learner

CPU = torch.device("cpu")
PRECISION = Precision(CPU, False)
needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    """What other tests of the process had compiled counts towards a limit."""
    torch.compiler.reset()


class Branching(nn.Module):
    """What it does depends on the values, so that it has no one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.norm(x)
        return [x * 2 if x.sum() > 0 else x]


def learner(plan: Plan) -> Learner:
    torch.manual_seed(5)
    return Learner(plan, TrainConfig(), CPU)


def images(plan: Plan, count: int = 2) -> torch.Tensor:
    return torch.randn((count, 1, *plan.patch_size), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_same_logits_gradients_and_names(tiny_plan: Plan, norm: str) -> None:
    one = learner(replace(tiny_plan, network={**tiny_plan.network, "norm": norm, "deep_supervision": True}))
    before = {name: value.clone() for name, value in one.network.state_dict().items()}
    compiled = compile_network(one.network.train(), images(tiny_plan), one.precision, backend="aot_eager")
    assert compiled.run is not None, compiled.error
    after = one.network.state_dict()
    assert list(after) == list(before)
    assert [name for name, value in after.items() if not torch.equal(value, before[name])] == []
    assert all(weight.grad is None for weight in one.network.parameters())
    gradients = []
    for run in (compiled.run, one.network):
        (logits,) = run(images(tiny_plan))
        logits.square().mean().backward()
        gradients.append([logits.detach(), *(weight.grad for weight in one.network.parameters())])
        one.network.zero_grad(set_to_none=True)
    for actual, expected in zip(*gradients, strict=True):
        assert torch.allclose(actual, expected, rtol=1e-3, atol=1e-5)


def test_what_has_no_one_graph_is_told(tiny_plan: Plan) -> None:
    network = Branching()
    compiled = compile_network(network, torch.randn(2, 1, 3, 4, 5), PRECISION, backend="aot_eager")
    assert compiled.run is None and compiled.error and "\n" not in compiled.error
    assert int(network.norm.num_batches_tracked) == 0 and not network.norm.running_mean.any()


def test_what_a_compiler_raises_is_told_in_a_line() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such instruction\nand many more lines")

    compiled = compile_network(nn.Conv3d(1, 1, 1), torch.zeros(1, 1, 2, 3, 4), PRECISION, backend=broken)
    assert compiled.run is None and compiled.error.endswith("raised: RuntimeError: no such instruction")


def test_a_missing_compiler_is_told() -> None:
    compiled = compile_network(nn.Conv3d(1, 1, 1), torch.zeros(1, 1, 2, 3, 4), PRECISION, backend="nobody has this")
    assert compiled.run is None and "nobody has this" in compiled.error


@pytest.mark.parametrize("dims", [2, 3])
def test_a_learner_uses_it_for_its_shape_in_training_alone(tiny_plan: Plan, dims: int) -> None:
    network = {**tiny_plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    plan = tiny_plan if dims == 3 else replace(tiny_plan, dims=2, patch_size=(1, 8, 12), network=network)
    one, seen = learner(plan), []

    def run(flat: torch.Tensor) -> list[torch.Tensor]:
        seen.append(flat.shape)
        return one.network(flat)

    shape = torch.Size((2, 1, 8, 12) if dims == 2 else (2, 1, 4, 8, 12))
    one.compiled = Compiled(run=run, shape=shape, seconds=0.0)
    data = images(plan)
    one.step([(data, (data[:, 0] > 0).to(torch.int16))], 1, 1e-3)
    assert seen == [shape]
    one.forward(images(plan, 3))
    one.network.eval()
    one.forward(data)
    assert seen == [shape]


@pytest.mark.parametrize("setting", [False, "auto"])
def test_nothing_is_tried_where_nobody_asked_or_no_gpu_is(tiny_plan: Plan, setting: bool) -> None:
    config = TrainConfig(trainer=TrainerConfig(compile=setting))
    assert compiled_if_faster(tiny_plan, config, CPU, 0.5, None) == (tiny_plan, 0.5, "")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("mixed", [False, True])
def test_compiled_for_this_cpu(tiny_plan: Plan, mixed: bool) -> None:
    config = TrainConfig(trainer=TrainerConfig(compile=True))
    plan, seconds, reason = compiled_if_faster(
        replace(tiny_plan, mixed_precision=mixed, channels_last=mixed), config, CPU, 0.5, 60.0
    )
    assert plan.compiled and seconds > 0 and "compiled, which takes" in reason
    one, other = learner(plan), learner(replace(plan, compiled=False))
    data = images(plan)
    losses = [float(each.step([(data, (data[:, 0] > 0).to(torch.int16))], 1, 1e-3)[0]) for each in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2 if mixed else 1e-4)
    assert list(one.network.state_dict()) == list(other.network.state_dict()) == list(one.average.weights)
