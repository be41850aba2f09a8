"""The first and the last layers of every network, found by their sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.networks.state_shapes import state_shapes
from MedSegTrainerLib.networks.varying_axes import varying_axes

PLANNED_PARAMETERS: dict[str, Any] = {
    "dims": 3, "in_channels": 1, "out_channels": 3, "features": [4, 6, 8, 8],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]], "kernels": [[1, 3, 3], *[[3, 3, 3]] * 3],
    "blocks": [1] * 4, "deep_supervision": True,
}  # fmt: skip


def test_of_the_planned_network_every_head() -> None:
    assert varying_axes(PLANNED, PLANNED_PARAMETERS, "out_channels") == {
        "heads.0.weight": (0,), "heads.0.bias": (0,), "heads.1.weight": (0,), "heads.1.bias": (0,),
    }  # fmt: skip
    first = varying_axes(PLANNED, PLANNED_PARAMETERS, "in_channels")
    assert first == {"encoder.0.0.body.0.weight": (1,), "encoder.0.0.shortcut.0.weight": (1,)}


def test_a_layer_that_only_some_numbers_of_channels_have() -> None:
    """Between as many maps as channels the shortcut is no layer: with 3 channels it is one."""
    found = varying_axes(PLANNED, {**PLANNED_PARAMETERS, "in_channels": 3}, "in_channels")
    assert found == {"encoder.0.0.body.0.weight": (1,), "encoder.0.0.shortcut.0.weight": (1,)}


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != PLANNED])
def test_of_the_others_something_at_both_ends(name: str, small_parameters: Callable[[str], dict[str, Any]]) -> None:
    parameters = small_parameters(name)
    shapes = state_shapes(name, parameters)
    for parameter, axis in (("in_channels", 1), ("out_channels", 0)):
        found = varying_axes(name, parameters, parameter)  # type: ignore[arg-type]
        assert found
        for entry, axes in found.items():
            assert axis in axes and all(shapes[entry][0][one] == parameters[parameter] for one in axes)
