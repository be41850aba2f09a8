"""How near a training step comes to what the device can do.

The limit is a roofline (Williams et al. 2009, doi:10.1145/1498765.1498785), worked out for each operation by itself
and added up: an operation takes at least the time of its arithmetic at the best rate that was measured for a matrix
product or a convolution of its precision, and at least that of its bytes at the best rate that was measured for large
arrays in memory. Small tensors stay in the processor's cache and may be faster than their limit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from rich.table import Table
from torch import nn

from benchmarks.divided_step import STAGES, DividedStep, Stopwatch
from benchmarks.material import Material
from benchmarks.operations import Counter, Operation
from MedSegTrainerLib.hardware.device import synchronize
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.validation import Validator

STEPS_A_ROUND = 3
RATE = 1e-4
REPEATS = 5  # of which the fastest counts
MATRIX_EDGE = {"cpu": 2048, "cuda": 8192, "mps": 4096}
ARRAY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30, "mps": 1 << 28}  # larger than any cache
SMOKE_EDGE, SMOKE_BYTES = 128, 1 << 18
MOST_KINDS = 12
STEP, VALIDATION = "step", "validation"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Floating point operations and bytes a second. matrix: by the name of the precision. convolution: of the
    network's own convolutions, each by itself, forwards and in the precision of the training, the best."""

    matrix: dict[str, float]
    convolution: float
    convolution_shape: str
    copy: float
    triad: float
    precision: str

    def arithmetic(self, operation: Operation) -> float:
        """Seconds of its arithmetic."""
        name = _name(operation.dtype or torch.float32)
        rate = self.matrix.get(name, self.matrix["float32"])
        return operation.flops / (max(rate, self.convolution) if name == self.precision else rate)

    def traffic(self, operation: Operation) -> float:
        """Seconds of its memory traffic."""
        return operation.traffic / max(self.copy, self.triad)


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Raises MedSegError."""
    return measure(material, STEPS_A_ROUND * arguments.rounds)


def show(section: dict[str, Any]) -> Table:
    rates = section["rates"]
    matrix = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates["matrix"].items())
    title = (
        f"Limit of the device: matrix products {matrix} GFLOP/s, best convolution ({rates['convolution_shape']}) "
        f"{rates['convolution'] / 1e9:.0f} GFLOP/s, memory {max(rates['copy'], rates['triad']) / 1e9:.1f} GB/s"
    )
    caption = "Milliseconds. Limit: the larger of arithmetic and memory of each operation. Reached: limit / measured."
    table = Table(title=title, caption=caption)
    table.add_column("Stage", no_wrap=True)
    for heading in ("GFLOP", "MB", "Arithmetic", "Memory", "Limit", "Measured", "Reached"):
        table.add_column(heading, justify="right")
    for row in section["stages"]:
        cells = [f"{row['flops'] / 1e9:.2f}", f"{row['traffic'] / 1e6:.1f}"]
        cells += [f"{1000 * row[f'{name}_seconds']:.2f}" for name in ("arithmetic", "traffic", "limit", "measured")]
        share = "-" if row["share"] is None else f"{row['share']:.0%}"
        table.add_row(row["name"], *cells, share, style="bold" if row["name"] == STEP else None)
    return table


def measure(
    material: Material, steps: int, clock: Callable[[], float] = time.perf_counter, *, rates: Rates | None = None
) -> dict[str, Any]:
    """The section: each stage of a step, the whole step, and the validation of one case. rates: those measured now."""
    learner = Learner(material.plan, material.config, material.device)
    plain = Learner(replace(material.plan, compiled=False), material.config, material.device)  # shows what it does
    for one in (learner, plain):
        one.loss.ramp = 1.0  # as most steps are: with the boundary term, where there is one
    rates = rates or measure_rates(plain, material, clock)
    watch, counter = Stopwatch(material.device, clock), Counter()
    timed, counted = (DividedStep(one, material.cached, material.config) for one in (learner, plain))
    timed.run(Stopwatch(material.device), RATE)  # the first call allocates memory and chooses kernels
    counted.run(Stopwatch(material.device), RATE)
    for _ in range(steps):
        timed.run(watch, RATE)
        counted.run(counter, RATE)
    validator = Validator(material.cached[:1], material.plan, material.device, overlap=material.config.data.overlap)
    validator.score(learner.average.weights)
    with watch.stage(VALIDATION):
        validator.score(learner.average.weights)
    with counter.stage(VALIDATION):
        validator.score(learner.average.weights)
    parts = [name for name in STAGES if name in watch.seconds]
    operations = [operation for name in parts for operation in counter.operations[name]]
    rows = [_row(name, counter.operations[name], watch.seconds[name], steps, rates) for name in parts]
    rows.append(_row(STEP, operations, sum(watch.seconds[name] for name in parts), steps, rates))
    rows.append(_row(VALIDATION, counter.operations[VALIDATION], watch.seconds[VALIDATION], 1, rates))
    return {"rates": asdict(rates), "stages": rows, "operations": _kinds(operations, steps, rates)}


def measure_rates(learner: Learner, material: Material, clock: Callable[[], float] = time.perf_counter) -> Rates:
    """The device's best; of the training's precision besides 32 bits, where it is another one."""
    device = material.device
    edge = SMOKE_EDGE if material.smoke else MATRIX_EDGE[device.type]
    size = (SMOKE_BYTES if material.smoke else ARRAY_BYTES[device.type]) // 4
    precision = learner.precision.dtype if learner.precision.enabled else torch.float32
    matrix = {}
    for dtype in dict.fromkeys((torch.float32, precision)):
        left, right, out = (torch.ones((edge, edge), dtype=dtype, device=device) for _ in range(3))
        orders = [partial(torch.mm, left, other, out=out) for other in (right, right.t())]
        matrix[_name(dtype)] = 2 * edge**3 / min(_fastest(order, device, clock) for order in orders)
    first, second, third = (torch.ones(size, device=device) for _ in range(3))
    copy = 8 * size / _fastest(lambda: first.copy_(second), device, clock)
    triad = 12 * size / _fastest(lambda: torch.add(second, third, alpha=2.0, out=first), device, clock)
    shape, convolution = _best_convolution(learner, material, clock)
    return Rates(
        matrix=matrix,
        convolution=convolution,
        convolution_shape=shape,
        copy=copy,
        triad=triad,
        precision=_name(precision),
    )


@torch.no_grad()
def _best_convolution(learner: Learner, material: Material, clock: Callable[[], float]) -> tuple[str, float]:
    """Words for the fastest of the network's convolutions, and its rate; ('none', 0) for a network without."""
    seen: list[tuple[nn.Module, torch.Tensor]] = []
    layers = [module for module in learner.network.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d))]
    hooks = [layer.register_forward_pre_hook(lambda module, x: seen.append((module, x[0]))) for layer in layers]
    plan = material.plan
    learner.forward(torch.ones((plan.batch_size, plan.network["in_channels"], *plan.patch_size), device=learner.device))
    for hook in hooks:
        hook.remove()
    best = ("none", 0.0)
    for layer, x in seen:
        counter = Counter()
        with learner.precision.forward():
            with counter.stage("convolution"):
                layer(x)
            seconds = _fastest(partial(layer, x), learner.device, clock)
        rate = sum(operation.flops for operation in counter.operations["convolution"]) / seconds
        if rate > best[1]:
            size = " x ".join(map(str, x.shape[2:]))
            best = (f"{layer.in_channels} to {layer.out_channels} channels of {size}", rate)
    return best


def _fastest(call: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    seconds = []
    for _ in range(1 + REPEATS):  # the first call allocates memory and chooses kernels
        synchronize(device)
        started = clock()
        call()
        synchronize(device)
        seconds.append(clock() - started)
    return max(min(seconds[1:]), 1e-9)


def _row(name: str, operations: Iterable[Operation], seconds: float, times: int, rates: Rates) -> dict[str, Any]:
    """One stage, of one time that it is done."""
    done = list(operations)
    limit = sum(max(rates.arithmetic(item), rates.traffic(item)) for item in done)
    return {
        "name": name,
        "flops": sum(item.flops for item in done) / times,
        "traffic": sum(item.traffic for item in done) / times,
        "arithmetic_seconds": sum(map(rates.arithmetic, done)) / times,
        "traffic_seconds": sum(map(rates.traffic, done)) / times,
        "limit_seconds": limit / times,
        "measured_seconds": seconds / times,
        "share": limit / seconds if seconds else None,
    }


def _kinds(operations: Iterable[Operation], steps: int, rates: Rates) -> list[dict[str, Any]]:
    """The kinds of operations that the limit of a step is made of, the longest first."""
    kinds: dict[str, list[Operation]] = {}
    for item in operations:
        kinds.setdefault(item.name, []).append(item)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "calls": len(done) / steps,
            "flops": sum(item.flops for item in done) / steps,
            "traffic": sum(item.traffic for item in done) / steps,
            "limit_seconds": sum(max(rates.arithmetic(item), rates.traffic(item)) for item in done) / steps,
        }
        for name, done in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row["limit_seconds"])[:MOST_KINDS]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
