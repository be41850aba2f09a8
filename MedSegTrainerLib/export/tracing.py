"""The network of a model as one traced program, and the comparison of what was exported with the original."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.package import ModelPackage

TOLERANCE = 1e-4  # largest difference of a logit
Members = Sequence[ModelPackage]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file (or folder) that was written, and the largest difference of a logit from the original.

    is_dynamic: whether it takes images of any size that is a multiple of the plan's divisor, else of the patch alone.
    usage: how it is used, where that is another program that prepares images itself.
    """

    path: Path
    difference: float
    is_dynamic: bool
    usage: str = ""


class Logits(nn.Module):
    """The network of a package, on the CPU in 32 bits, without the list around its result; of several their mean, as
    ``ensemble.averaged`` gives it."""

    def __init__(self, *members: ModelPackage) -> None:
        super().__init__()
        self.overlapping = members[0].plan.overlapping
        self.networks = nn.ModuleList([package.build().float() for package in members])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        outputs = [network(image)[0] for network in self.networks]
        if len(outputs) == 1:
            return outputs[0]
        if self.overlapping:
            stacked = torch.stack(outputs)
            there, not_there = (functional.logsigmoid(sign * stacked).logsumexp(dim=0) for sign in (1, -1))
            return there - not_there
        logs = torch.stack([functional.log_softmax(logits, dim=1) for logits in outputs])
        return torch.logsumexp(logs, dim=0) - math.log(len(outputs))


def example(package: ModelPackage, *, batch: int = 2, grown: bool = False, seed: int = 0) -> torch.Tensor:
    """A random batch of patches as the network takes them; ``grown`` by a divisor along each axis."""
    plan = package.plan
    size = [n + (d if grown else 0) for n, d in zip(plan.patch_size, plan.divisor, strict=True)][3 - plan.dims :]
    channels = len(plan.normalization) * (2 * plan.neighbour_slices + 1)
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def is_dynamic(package: ModelPackage) -> bool:
    architecture = ARCHITECTURES[package.plan.architecture]
    return not architecture.is_fixed and not architecture.is_fixed_traced


def traced(members: Members) -> torch.jit.ScriptModule:
    """The network as TorchScript; sizes stay free where the network allows it."""
    with torch.inference_mode(False), torch.no_grad(), quiet():
        script: torch.jit.ScriptModule = torch.jit.trace(Logits(*members), example(members[0]), check_trace=False)
    return script


def check(members: Members, run: Callable[[torch.Tensor], torch.Tensor], what: str) -> float:
    """The largest difference of a logit on random patches, one and two at once, and where it takes other sizes also
    on a larger one; raises ModelError where it is not within ``TOLERANCE``."""
    network, package = Logits(*members), members[0]
    images = [example(package, seed=1), example(package, batch=1, seed=2)]
    images += [example(package, batch=1, grown=True, seed=3)] if is_dynamic(package) else []
    difference = 0.0
    with torch.no_grad():
        for image in images:
            expected, actual = network(image), run(image)
            if actual.shape != expected.shape or not bool(torch.isfinite(actual).all()):
                raise ModelError(
                    f"{what} gives {tuple(actual.shape)} instead of {tuple(expected.shape)} finite logits."
                )
            difference = max(difference, float((actual - expected).abs().max()))
    if not difference <= TOLERANCE:
        raise ModelError(f"{what} differs from the model by {difference:.2g}, more than {TOLERANCE:g}. It is not kept.")
    return difference


def exported_program(members: Members) -> torch.export.ExportedProgram:
    package = members[0]
    return torch.export.export(Logits(*members), (example(package),), dynamic_shapes=(dynamic_sizes(package),))


def dynamic_sizes(package: ModelPackage) -> dict[int, Any]:
    """Axes of the input that may have other lengths: multiples of the divisor, at least two of them."""
    axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if is_dynamic(package):
        divisors: Sequence[int] = package.plan.divisor[3 - package.plan.dims :]
        for axis, (name, step) in enumerate(zip("zyx"[3 - len(divisors) :], divisors, strict=True), start=2):
            units = torch.export.Dim(f"{name}_units", min=1 if step > 1 else 2)
            axes[axis] = step * units if step > 1 else units
    return axes


@contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch says of its own future, and of sizes that are looked at while tracing: the result is
    checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
