"""How much memory a training step takes at least, counted on a network whose tensors have shapes and no content."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.hardware.device import memory_bytes
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.networks import build_network

FEWEST_MAPS = 16  # at full resolution, in 32 bits, that any network keeps for its backward pass
NARROW = (12, 24)  # embed_dim of a SwinUNETR that is built quickly


def step_bytes(plan: Plan) -> int:
    """What a step keeps at the very least: weights, gradients, moments, and the maps for the backward pass."""
    share = 0.5 if plan.mixed_precision else 1.0
    images = 4 * plan.batch_size * math.prod(plan.patch_size)
    maps = int(share * images * (plan.network["in_channels"] + FEWEST_MAPS))
    size = (plan.batch_size, plan.network["in_channels"], *plan.patch_size[3 - plan.dims :])
    if maps > 2**43:  # nothing has so much: no network need be made for it
        return maps
    weights, activations = _counted(plan.architecture, plan.network, size)
    return 4 * weights + max(maps, int(share * activations), 3 * 4 * weights)


def count_weights(architecture: str, network: dict[str, Any]) -> int:
    """The number of weights of a network, which is not built for it."""
    return _counted(architecture, network, None)[0]


def _counted(architecture: str, network: dict[str, Any], size: tuple[int, ...] | None) -> tuple[int, int]:
    """Weights, and the bytes that a pass of images of this size keeps for the way back (0 without a size)."""
    if architecture != "SwinUNETR":
        with torch.device("meta"):
            return _count(build_network(architecture, network), size)
    # it asks for values while it is built: two narrow ones are, and the line through both
    narrow, wider = (
        _count(build_network(architecture, {**network, "embed_dim": width}).to("meta"), size) for width in NARROW
    )
    width = network["embed_dim"] / NARROW[0]
    return int(width**2 * narrow[0]), int(narrow[1] + (width - 1) * (wider[1] - narrow[1]))


def _count(network: nn.Module, size: tuple[int, ...] | None) -> tuple[int, int]:
    weights = sum(parameter.numel() for parameter in network.parameters())
    return weights, 0 if size is None else _activation_bytes(network, torch.zeros(size, device="meta"))


def memory_of(device: torch.device) -> int:
    """Bytes that a step may take on a device."""
    return memory_bytes(device) or available_memory()


def refuse_too_large(plan: Plan, config: TrainConfig, device: torch.device) -> None:
    """Raises ConfigError where what the configuration sets cannot fit into memory, however small the batch.

    What planning chose itself is made smaller instead.
    """
    network, data = config.network, config.data
    sizes = {
        "data.patch_size": data.patch_size,
        "data.image_size": data.image_size,
        "network.img_size": network.img_size,
    }
    widths = {f"network.{name}": getattr(network, name) for name in ("base_channels", "init_filters", "embed_dim")}
    given = {name: value for name, value in (sizes | widths).items() if value != "auto"}
    if not given:
        return
    batch = 2 if plan.network.get("norm") == "batch" else 1
    mixed = config.trainer.mixed_precision is not False
    needed, available = step_bytes(replace(plan, batch_size=batch, mixed_precision=mixed)), memory_of(device)
    if needed <= available:
        return
    settings = " and ".join(f"{name} = {value}" for name, value in given.items())
    patch = " x ".join(str(length) for length in plan.patch_size)
    raise ConfigError(
        [
            f"{settings}: a training step of {plan.architecture} with a patch of {patch} voxels needs at least "
            f"{needed / 1e9:.0f} GB, and {available / 1e9:.0f} GB are there. Use smaller ones, or leave them out."
        ]
    )


def _activation_bytes(network: nn.Module, images: torch.Tensor) -> int:
    """Bytes of all that a pass through the network keeps for its way back; the weights are not among them."""
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            storages[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(images)  # held as well
    del outputs
    return sum(storage.nbytes() for storage in storages.values())
