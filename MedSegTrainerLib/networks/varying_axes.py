"""Which weights of a network are as many as its channels or its classes: its first and its last layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from MedSegTrainerLib.networks.state_shapes import Shape, state_shapes

PROBES = 1, 2  # more channels; with one of them a layer may be another one, as a shortcut between equal numbers


def varying_axes(
    architecture: str, parameters: Mapping[str, Any], name: Literal["in_channels", "out_channels"]
) -> dict[str, tuple[int, ...]]:
    """Name of each entry of the ``state_dict`` whose size follows from this parameter to the axes that do.

    Found by comparing networks with more of them, so that it holds for every network. Raises ModelError.
    """
    shapes = state_shapes(architecture, parameters)
    varying: dict[str, tuple[int, ...]] = {}
    for more in PROBES:
        others = state_shapes(architecture, {**parameters, name: parameters[name] + more})
        for entry in shapes.keys() & others.keys():
            axes = _differing(shapes[entry], others[entry])
            if axes:
                varying[entry] = axes
    return {entry: varying[entry] for entry in shapes if entry in varying}


def _differing(one: Shape, other: Shape) -> tuple[int, ...]:
    return tuple(axis for axis, (a, b) in enumerate(zip(one[0], other[0], strict=True)) if a != b)
