"""The weights of a network without the network: the same as when it is built, and no memory for huge ones."""

from __future__ import annotations

from typing import Any

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.state_shapes import state_shapes

CONVOLUTIONAL = {"in_channels": 2, "out_channels": 3, "norm": "instance", "dropout": 0.0}
TRANSFORMER = {**CONVOLUTIONAL, "embed_dim": 24, "num_heads": 4, "num_layers": 2}
PARAMETERS: dict[str, dict[str, Any]] = {
    "PlannedUNet": {
        "dims": 3, "in_channels": 2, "out_channels": 3, "features": [4, 8], "strides": [[1, 1, 1], [1, 2, 2]],
        "kernels": [[3, 3, 3]] * 2, "blocks": [1, 2], "deep_supervision": True,
    },
    "UNet2D": {**CONVOLUTIONAL, "base_channels": 4},
    "UNet3D": {**CONVOLUTIONAL, "base_channels": 4, "norm": "group"},
    "VNet": {**CONVOLUTIONAL, "dims": 2, "base_channels": 4, "norm": "batch"},
    "SegResNet": {**CONVOLUTIONAL, "dims": 3, "init_filters": 8, "norm": "group"},
    "DeepLabV3Plus": {**CONVOLUTIONAL, "base_channels": 8, "aspp_rates": [6, 12]},
    "TransUNet": {**TRANSFORMER, "base_channels": 8, "img_size": [32, 48]},
    "UNETR": {**TRANSFORMER, "img_size": [32, 32, 16]},
    "SwinUNETR": {**CONVOLUTIONAL, "embed_dim": 12, "window_size": 7},
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_are_those_of_the_network(name: str) -> None:
    built = build_network(name, PARAMETERS[name]).state_dict()
    assert state_shapes(name, PARAMETERS[name]) == {key: (tuple(v.shape), v.dtype) for key, v in built.items()}


def test_no_memory_is_taken() -> None:
    """Ten terabytes."""
    shapes = state_shapes("PlannedUNet", {**PARAMETERS["PlannedUNet"], "features": [10**5, 10**5]})
    assert shapes["encoder.1.0.body.0.weight"][0] == (10**5, 10**5, 3, 3, 3)


@pytest.mark.parametrize("wrong", [{"features": [0, -3]}, {"features": ["a", {}]}, {"blocks": None}, {"colour": 1}])
def test_what_cannot_be_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="cannot be built"):
        state_shapes("PlannedUNet", {**PARAMETERS["PlannedUNet"], **wrong})
