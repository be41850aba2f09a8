"""The weights of a network without the network: the same as when it is built, and no memory for huge ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.state_shapes import state_shapes

PLANNED_SMALL: dict[str, Any] = {
    "dims": 3, "in_channels": 2, "out_channels": 3, "features": [4, 8], "strides": [[1, 1, 1], [1, 2, 2]],
    "kernels": [[3, 3, 3]] * 2, "blocks": [1, 2], "deep_supervision": True,
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_are_those_of_the_network(name: str, small_parameters: Callable[[str], dict[str, Any]]) -> None:
    parameters = PLANNED_SMALL if name == PLANNED else small_parameters(name)
    built = build_network(name, parameters).state_dict()
    assert state_shapes(name, parameters) == {key: (tuple(v.shape), v.dtype) for key, v in built.items()}


def test_no_memory_is_taken() -> None:
    """Ten terabytes."""
    shapes = state_shapes("PlannedUNet", {**PLANNED_SMALL, "features": [10**5, 10**5]})
    assert shapes["encoder.1.0.body.0.weight"][0] == (10**5, 10**5, 3, 3, 3)


@pytest.mark.parametrize("wrong", [{"features": [0, -3]}, {"features": ["a", {}]}, {"blocks": None}, {"colour": 1}])
def test_what_cannot_be_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="cannot be built"):
        state_shapes("PlannedUNet", {**PLANNED_SMALL, **wrong})
