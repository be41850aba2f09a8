"""What PyTorch is asked to do: arithmetic and memory traffic of every operation, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "resize_"}
OVERWRITES = {  # do not read their first tensor
    "copy_",
    "zero_",
    "fill_",
    "normal_",
    "uniform_",
    "zeros_like",
    "ones_like",
    "full_like",
    "new_zeros",
    "new_ones",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """flops: additions and multiplications of matrix products and convolutions, as ``FlopCounterMode`` counts them, but
    without those with the zeros around a padded map, which nobody needs to do.

    traffic: bytes of its inputs, read once, and of its results, written once; nothing for a view. dtype: of its first
    tensor of floating point, None where it has none.
    """

    name: str
    flops: int
    traffic: int
    dtype: torch.dtype | None


class Counter:
    """A watch (``divided_step.Watch``) that lists the operations of each stage."""

    def __init__(self) -> None:
        self.operations: dict[str, list[Operation]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with _Recorder(self.operations.setdefault(name, [])):
            yield


class _Recorder(TorchDispatchMode):
    def __init__(self, into: list[Operation]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.into = into

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        formula = flop_registry.get(func.overloadpacket)
        if formula is None:
            with self:  # in inference mode operations arrive whole that are made of others
                result = func.decompose(*args, **given)
            if result is not NotImplemented:
                return result
        result = func(*args, **given)
        arguments = [*zip(func._schema.arguments, args, strict=False)]
        arguments += [(entry, given[entry.name]) for entry in func._schema.arguments if entry.name in given]
        floats = (t for _, value in arguments for t in _tensors(value) if t.is_floating_point())
        self.into.append(
            Operation(
                name=func.overloadpacket.__name__,
                flops=round(_share_inside(func, args) * formula(*args, **given, out_val=result)) if formula else 0,
                traffic=_traffic(func, arguments, result),
                dtype=next((tensor.dtype for tensor in floats), None),
            )
        )
        return result


def _share_inside(func: Any, args: Sequence[Any]) -> float:
    """Share of a convolution's products that are with the map itself and not with its padding."""
    if func.overloadpacket is torch.ops.aten.convolution:
        x, weight, _, strides, paddings, dilations, is_transposed = args[:7]
    elif func.overloadpacket is torch.ops.aten.convolution_backward:
        _, x, weight, _, strides, paddings, dilations, is_transposed = args[:8]
    else:
        return 1.0
    share = 1.0
    for axis, (size, kernel) in enumerate(zip(x.shape[2:], weight.shape[2:], strict=True)):
        stride, padding, dilation = strides[axis], paddings[axis], dilations[axis]
        starts = range(-padding, size + padding - dilation * (kernel - 1), stride)
        inside = sum(0 <= start + dilation * tap < size for start in starts for tap in range(kernel))
        share *= inside / (len(starts) * kernel)
    return 1.0 if is_transposed else share


def _traffic(func: Any, arguments: Sequence[tuple[Any, Any]], result: Any) -> int:
    """Bytes read and written; of an operation that fuses others no more than it must."""
    name, returns = func.overloadpacket.__name__, func._schema.returns
    if name in FREE or any(entry.alias_info and not entry.alias_info.is_write for entry in returns):
        return 0
    read: dict[int, int] = {}
    written = 0
    for place, (entry, value) in enumerate(arguments):
        for tensor in _tensors(value):
            if entry.alias_info and entry.alias_info.is_write:
                written += _bytes(tensor)
            if not entry.is_out and not (place == 0 and name in OVERWRITES):
                read[id(tensor)] = _bytes(tensor)
    values = result if len(returns) > 1 else [result]
    fresh = [value for entry, value in zip(returns, values, strict=False) if not entry.alias_info]
    return sum(read.values()) + written + sum(_bytes(tensor) for tensor in _tensors(fresh))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for item in value:
            yield from _tensors(item)


def _bytes(tensor: torch.Tensor) -> int:
    """Of what lies in memory: an axis along which a tensor is only repeated takes none."""
    elements = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= length if stride else min(length, 1)
    return elements * tensor.element_size()
