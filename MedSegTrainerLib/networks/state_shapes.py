"""What weights a network has, without memory for any of them: a model file may ask for more than there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.networks import build_network

ALLOCATING = {torch.empty, torch.zeros, torch.ones}  # what layers make weights with
Shape = tuple[tuple[int, ...], torch.dtype]


def state_shapes(architecture: str, parameters: Mapping[str, Any]) -> dict[str, Shape]:
    """Name to shape and type of everything in the ``state_dict`` of a network; raises ModelError where it cannot be.

    PyTorch's own way (``torch.device("meta")``) takes seconds when it is used first, and some of MONAI's networks
    compute with numbers while they are built.
    """
    try:
        with _Unallocated():
            network = build_network(architecture, dict(parameters))
    except ModelError:
        raise
    except Exception as error:  # layers raise anything for sizes that are none
        raise ModelError(f"{architecture} cannot be built with its parameters: {error}.") from None
    return {name: (tuple(value.shape), value.dtype) for name, value in network.state_dict().items()}


class _Unallocated(TorchFunctionMode):
    """New weights have a shape and no memory, and filling them does nothing."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in ALLOCATING:
            given["device"] = "meta"
        name = getattr(func, "__name__", "")
        fills = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        if fills and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **given)
