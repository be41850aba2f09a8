"""A network compiled by PyTorch for the one shape that all training steps have; its weights stay where they are."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from MedSegTrainerLib.hardware.device import Precision, synchronize
from MedSegTrainerLib.hardware.memory import is_out_of_memory


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """``run`` is the network in training for images of ``shape``, or None where it could not be compiled: ``error``."""

    run: Callable[..., Any] | None
    shape: torch.Size
    seconds: float
    error: str = ""

    def fits(self, images: torch.Tensor) -> bool:
        """Another shape would be compiled anew, for up to minutes: it goes through the network as it is."""
        return self.run is not None and images.shape == self.shape


def compile_network(
    network: nn.Module, images: torch.Tensor, precision: Precision, backend: str | Callable[..., Any] = "inductor"
) -> Compiled:
    """Compiles a network that gives a list of logits, and tries it forwards and backwards with ``images``.

    Weights, buffers and gradients are afterwards as before. Only running out of memory is raised.
    """
    started = time.perf_counter()
    buffers = [buffer.clone() for buffer in network.buffers()]
    run, error = None, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of compilers; what they cannot do is an error
            run = torch.compile(network, fullgraph=True, dynamic=False, backend=backend)
            with precision.forward():
                logits = run(images)
            torch.stack([level.float().mean() for level in logits]).sum().backward()
        synchronize(images.device)
    except Exception as failure:  # there are as many ways to fail as there are compilers
        if is_out_of_memory(failure):
            raise
        run, error = None, _in_a_line(failure)
    finally:
        network.zero_grad(set_to_none=True)
        for buffer, value in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(value)
    return Compiled(run=run, shape=images.shape, seconds=time.perf_counter() - started, error=error)


def _in_a_line(failure: Exception) -> str:
    """The first line of many; where it only announces what was raised, the next one too."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()] or [type(failure).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
