"""Weights that are none, or of another network, or too many: refused by the header, in words."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import safetensors.torch
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.weights_file import load_weights
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.state_shapes import state_shapes


@pytest.fixture
def weights(tiny_plan: Plan) -> dict[str, torch.Tensor]:
    return build_network(tiny_plan.architecture, tiny_plan.network).state_dict()


def load(weights: dict[str, torch.Tensor], plan: Plan) -> dict[str, torch.Tensor]:
    content = safetensors.torch.save(weights)
    return load_weights(io.BytesIO(content), len(content), state_shapes(plan.architecture, plan.network))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_are_weights(weights: dict[str, torch.Tensor], tiny_plan: Plan, kind: torch.dtype) -> None:
    result = load({name: value.to(kind) for name, value in weights.items()}, tiny_plan)
    assert result.keys() == weights.keys() and all(value.dtype == kind for value in result.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, 70000.0])
def test_what_is_no_weight(weights: dict[str, torch.Tensor], tiny_plan: Plan, value: float) -> None:
    weights["heads.0.bias"][1] = value
    with pytest.raises(ModelError, match=r"NaN, infinite or beyond 65504: heads.0.bias$"):
        load(weights, tiny_plan)


def test_whole_numbers(weights: dict[str, torch.Tensor], tiny_plan: Plan) -> None:
    with pytest.raises(ModelError, match=r"of another shape or type: .*I64 .* instead of F32.* and \d+ more"):
        load({name: value.to(torch.int64) for name, value in weights.items()}, tiny_plan)


def test_every_difference_is_named(weights: dict[str, torch.Tensor], tiny_plan: Plan) -> None:
    changed = {**weights, "tail.weight": torch.zeros(3), "heads.0.bias": torch.zeros(5)}
    del changed["heads.0.weight"]
    with pytest.raises(ModelError) as refused:
        load(changed, tiny_plan)
    for message in ("missing: heads.0.weight", "not of this network: tail.weight", "heads.0.bias (F32 [5] instead of"):
        assert message in str(refused.value)


def header(entries: Any, size: int = 0) -> tuple[io.BytesIO, int]:
    """A file with this header, and a claim of its size."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    content = len(text).to_bytes(8, "little") + text
    return io.BytesIO(content), max(size, len(content))


@pytest.mark.parametrize("entries", [{}, [], 7, {"heads.0.bias": 1}, b"{", b"[" * 99999, {"a": {"shape": [2**60]}}])
def test_headers_of_anything(tiny_plan: Plan, entries: Any) -> None:
    shapes = state_shapes(tiny_plan.architecture, tiny_plan.network)
    with pytest.raises(ModelError):
        load_weights(*header(entries), shapes)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 64, b"\0" * 64])
def test_files_of_anything(tiny_plan: Plan, content: bytes) -> None:
    shapes = state_shapes(tiny_plan.architecture, tiny_plan.network)
    with pytest.raises(ModelError):
        load_weights(io.BytesIO(content), len(content), shapes)


def test_a_sparse_file_is_refused_by_its_header(weights: dict[str, torch.Tensor], tiny_plan: Plan) -> None:
    """Six gigabytes that nobody reads."""
    content = safetensors.torch.save(weights)
    shapes = state_shapes(tiny_plan.architecture, tiny_plan.network)
    with pytest.raises(ModelError, match=r"it holds 6\d+ bytes of weights and its header promises \d{4,5}$"):
        load_weights(io.BytesIO(content), 6 << 30, shapes)
