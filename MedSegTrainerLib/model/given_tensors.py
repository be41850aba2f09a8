"""Tensors of a checkpoint from anywhere, compared with what a network needs before any of them is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.weights_file import LARGEST_WEIGHT, is_sane, named
from MedSegTrainerLib.networks.state_shapes import Shape


def fitted(given: Mapping[str, Any], shapes: Mapping[str, Shape]) -> dict[str, torch.Tensor]:
    """The tensors, in the type of the network; raises ModelError with what is missing, unknown, of another shape or
    type, or no finite number."""
    problems = list(_differences(given, shapes))
    if problems:
        raise ModelError("; ".join(problems))
    weights = {name: given[name].detach().to(kind).contiguous() for name, (_, kind) in shapes.items()}
    wrong = [name for name, value in weights.items() if not is_sane(name, value)]
    if wrong:
        raise ModelError(f"weights that are NaN, infinite or beyond {LARGEST_WEIGHT:g}: {named(wrong)}")
    return weights


def _differences(given: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Iterator[str]:
    missing, extra = sorted(shapes.keys() - given.keys()), sorted(given.keys() - shapes.keys())
    if missing:
        yield f"missing: {named(missing)}"
    if extra:
        yield f"not of this network: {named(extra)}"
    other = [
        f"{name} ({_described(given[name])} instead of {list(shape)})"
        for name, (shape, kind) in sorted(shapes.items())
        if name in given and not _fits(given[name], shape, kind)
    ]
    if other:
        yield f"of another shape or type: {named(other)}"


def _fits(value: Any, shape: tuple[int, ...], kind: torch.dtype) -> bool:
    """Whether it is a tensor with a number of its own for each place: an expanded one would take more than its file."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return False
    same_kind = value.is_floating_point() == kind.is_floating_point and not value.is_complex()
    held = value.untyped_storage().nbytes()
    return same_kind and tuple(value.shape) == shape and value.numel() * value.element_size() <= held


def _described(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
