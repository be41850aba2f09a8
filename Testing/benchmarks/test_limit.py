"""scripts/benchmarks/limit.py and operations.py: what is counted, and how the limit follows from it. No times."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("monai", reason="the extra 'bench' is not installed")

import bench
from benchmarks.divided_step import STAGES
from benchmarks.limit import Rates, _row, measure, measure_rates, show
from benchmarks.material import Material, prepare
from benchmarks.operations import Counter, Operation

from MedSegTrainerLib.training.learner import Learner

CPU = torch.device("cpu")
RATES = Rates(
    matrix={"float32": 1e9, "bfloat16": 2e9}, convolution=3e9, convolution_shape="1 to 2 channels of 3 x 4 x 5",
    copy=1e6, triad=2e6, precision="bfloat16",
)  # fmt: skip
A, B, OUT = (torch.ones(10, 50) for _ in range(3))
INDEX = torch.arange(10)
BYTES = 2000  # of each of them


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return prepare(None, tmp_path_factory.mktemp("limit"), CPU, bench.SMOKE_VOLUME, smoke=True)


class TestCounter:
    @pytest.mark.parametrize(
        ("call", "traffic"),
        [
            pytest.param(lambda: A + B, 3 * BYTES, id="both read, the sum written"),
            pytest.param(lambda: A * A, 2 * BYTES, id="the same tensor is read once"),
            pytest.param(lambda: A.add_(B), 3 * BYTES, id="in place: read and written"),
            pytest.param(lambda: torch.add(A, B, out=OUT), 3 * BYTES, id="a result with a place is only written"),
            pytest.param(lambda: A.copy_(B), 2 * BYTES, id="a copy does not read what it replaces"),
            pytest.param(lambda: A.zero_(), BYTES, id="zeros are only written"),
            pytest.param(lambda: torch.empty_like(A), 0, id="nobody writes to empty memory"),
            pytest.param(lambda: A[2:5].view(150).reshape(3, 50).t(), 0, id="views move nothing"),
            pytest.param(lambda: A[:5] + B[:5], 3 * BYTES // 2, id="of a part, the part"),
            pytest.param(lambda: A + B[:1].expand(10, 50), 2 * BYTES + BYTES // 10, id="a repeated row is read once"),
            pytest.param(lambda: A.to(torch.bfloat16), BYTES + BYTES // 2, id="bytes follow the type"),
            pytest.param(lambda: torch._foreach_add_([A, B], 1.0), 4 * BYTES, id="lists of tensors"),
            pytest.param(lambda: A.max(dim=0), BYTES + 50 * 4 + 50 * 8, id="two results"),
        ],
    )
    def test_traffic_is_what_is_read_and_written(self, call: Callable[[], object], traffic: int) -> None:
        assert sum(operation.traffic for operation in _count(call)) == traffic

    @pytest.mark.parametrize(
        "settings",
        [
            pytest.param({"padding": 1}, id="zeros on all sides"),
            pytest.param({"padding": (1, 0), "stride": (2, 1)}, id="steps"),
            pytest.param({"padding": 2, "dilation": 2}, id="holes"),
        ],
    )
    def test_products_with_padding_are_no_work(self, settings: dict[str, Any]) -> None:
        images, weight = torch.ones(2, 4, 5, 7, requires_grad=True), torch.ones(3, 4, 3, 3, requires_grad=True)
        products = functional.conv2d(images, weight, **settings).sum()  # counts its products: each is 1 x 1
        forward = _count(lambda: functional.conv2d(images, weight, **settings))
        assert sum(operation.flops for operation in forward) == 2 * int(products)
        backward = _count(lambda: products.backward())
        assert sum(operation.flops for operation in backward) == 4 * int(products)

    def test_flops_are_pytorchs_forwards_and_backwards(self, material: Material) -> None:
        learner = Learner(material.plan, material.config, CPU)
        images, labels = material.batch(material.plan.patch_size, np.random.default_rng(0))
        with FlopCounterMode(display=False) as expected:
            learner.step([(images, labels)], 1, 1e-4)
        counted = _count(lambda: learner.step([(images, labels)], 1, 1e-4))
        flops = sum(operation.flops for operation in counted)
        assert 0.6 * expected.get_total_flops() < flops < expected.get_total_flops()  # small maps have much padding

    def test_flops_without_padding_are_exactly_pytorchs(self) -> None:
        layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 3, 2, 2), nn.Flatten(), nn.Linear(192, 5))
        images = torch.ones(2, 2, 6, 6)
        with FlopCounterMode(display=False) as expected:
            layers(images).sum().backward()
        counted = _count(lambda: layers(images).sum().backward())
        assert sum(operation.flops for operation in counted) == expected.get_total_flops() > 0

    def test_flops_are_counted_in_inference_mode(self) -> None:
        with torch.inference_mode():
            counted = _count(lambda: functional.conv2d(torch.ones(1, 2, 5, 5), torch.ones(3, 2, 1, 1)))
        assert sum(operation.flops for operation in counted) == 2 * 25 * 2 * 3

    def test_the_type_is_that_of_the_first_floats(self) -> None:
        (operation,) = _count(lambda: functional.embedding(INDEX, A.to(torch.float64)))[-1:]
        assert operation.dtype == torch.float64


class TestLimit:
    def test_each_operation_has_the_rate_of_its_precision(self) -> None:
        work = {dtype: _operation(flops=6 * 10**9, dtype=dtype) for dtype in (torch.float32, torch.bfloat16, None)}
        assert RATES.arithmetic(work[torch.float32]) == RATES.arithmetic(work[None]) == 6.0
        assert RATES.arithmetic(work[torch.bfloat16]) == 2.0  # convolutions were faster than matrix products
        assert RATES.traffic(_operation(traffic=4 * 10**6)) == 2.0

    def test_limits_of_operations_add_up(self) -> None:
        busy = _operation(flops=5 * 10**9, traffic=2 * 10**6)
        fetching = _operation(flops=10**9, traffic=8 * 10**6)
        row = _row("forward", [busy, fetching], 36.0, 2, RATES)
        assert row["arithmetic_seconds"] == 3.0
        assert row["traffic_seconds"] == 2.5
        assert row["limit_seconds"] == 4.5  # 5 + 4 of two steps: more than either alone
        assert row["measured_seconds"] == 18.0
        assert row["share"] == 0.25

    def test_the_step_is_its_parts(self, material: Material) -> None:
        ticks = itertools.count()
        section = measure(material, 2, lambda: float(next(ticks)), rates=RATES)
        rows = {row["name"]: row for row in section["stages"]}
        parts = [name for name in STAGES if name != "transfer"]  # a CPU has nothing to transfer
        assert list(rows) == [*parts, "step", "validation"]
        for key in ("flops", "traffic", "arithmetic_seconds", "limit_seconds", "measured_seconds"):
            assert rows["step"][key] == pytest.approx(sum(rows[name][key] for name in parts)), key
        assert rows["backward"]["flops"] > rows["forward"]["flops"] > rows["augment"]["flops"]
        assert rows["validation"]["flops"] > 0
        assert rows["forward"]["measured_seconds"] == 1.0
        kinds = section["operations"]
        assert {"convolution", "convolution_backward"} <= {kind["name"] for kind in kinds}
        assert kinds == sorted(kinds, key=lambda kind: -kind["limit_seconds"])
        assert sum(kind["limit_seconds"] for kind in kinds) <= rows["step"]["limit_seconds"]
        console = Console(width=160, record=True)
        console.print(show(section))
        output = " ".join(console.export_text().split())
        assert all(name in output for name in rows)
        assert "float32 1, bfloat16 2 GFLOP/s, best convolution (1 to 2 channels of 3 x 4 x 5) 3 GFLOP/s" in output

    def test_the_rates_of_the_device_are_measured(self, material: Material) -> None:
        ticks = itertools.count()
        learner = Learner(material.plan, material.config, CPU)
        rates = measure_rates(learner, material, lambda: float(next(ticks)))
        assert rates.matrix[rates.precision] == 2 * 128**3
        assert rates.copy == 8 * 2**16
        assert rates.triad == 12 * 2**16
        finest = " x ".join(map(str, material.plan.patch_size))
        assert rates.convolution_shape == f"8 to 4 channels of {finest}"  # what joins the skip connection
        assert rates.convolution > 0


def _count(call: Callable[[], object]) -> list[Operation]:
    counter = Counter()
    with counter.stage("here"):
        call()
    return counter.operations["here"]


def _operation(flops: int = 0, traffic: int = 0, dtype: torch.dtype | None = torch.float32) -> Operation:
    return Operation(name="made-up", flops=flops, traffic=traffic, dtype=dtype)
