"""The settings of networks: which the chosen one has and takes, and what 'auto' is for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED, Architecture, is_planned
from MedSegTrainerLib.config.settings import Auto, NetworkConfig, TrainConfig

COMMON = (  # settings that every network has
    "type",
    "dims",
    "dimension",
    "neighbour_slices",
    "in_channels",
    "out_channels",
    "num_classes",
)


def architecture_name(config: NetworkConfig) -> str:
    """The key of ``ARCHITECTURES`` that a configuration asks for."""
    return PLANNED if config.type == "auto" else config.type


def requested_dims(config: NetworkConfig) -> int | Auto:
    """The number of spatial axes that ``dims`` or ``dimension`` names."""
    if config.dims != "auto" or config.dimension == "auto":
        return config.dims
    return int(config.dimension[0])


def requested_classes(config: NetworkConfig) -> int | Auto:
    """The number of classes that ``out_channels`` or ``num_classes`` names."""
    return config.num_classes if config.out_channels == "auto" else config.out_channels


def chosen_settings(config: NetworkConfig) -> dict[str, Any]:
    """The network's own settings by name, the default where the configuration says 'auto'."""
    defaults = ARCHITECTURES[architecture_name(config)].settings
    configured = {name: getattr(config, name) for name in defaults}
    return {name: defaults[name] if value == "auto" else value for name, value in configured.items()}


def network_settings(architecture: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a network was built with, from its parameters, for people to read."""
    settings = {"base_channels": parameters["features"][0]} if is_planned(architecture) else {}
    settings |= {name: parameters[name] for name in ARCHITECTURES[architecture].settings if name in parameters}
    return settings


def edges(size: int | list[int], axes: int) -> list[int]:
    """A size for each axis, from one number for all or a list with one for each."""
    return [size] * axes if isinstance(size, int) else list(size)


def network_problems(config: TrainConfig) -> list[str]:
    """Settings that the chosen network does not have or cannot take, one line each."""
    network, name = config.network, architecture_name(config.network)
    chosen = ARCHITECTURES[name]
    allowed = {*COMMON, *chosen.settings, *(["img_size"] if chosen.has_img_size else [])}
    problems = [
        f"network.{item.name} = {getattr(network, item.name)!r}: {name} has no such setting.{_networks_with(item.name)}"
        for item in fields(NetworkConfig)
        if item.name not in allowed and getattr(network, item.name) != item.default
    ]
    problems += _alias_conflicts(network)
    dims = requested_dims(network)
    if dims != "auto" and dims not in chosen.dims:
        setting = "dims" if network.dims != "auto" else "dimension"
        problems.append(
            f"network.{setting} = {getattr(network, setting)}: {name} is a {chosen.dims[0]}D network. Leave it out."
        )
    if network.neighbour_slices and (dims == 3 or 2 not in chosen.dims):
        problems.append(
            f"network.neighbour_slices = {network.neighbour_slices}: a 3D network sees all slices of its patch. "
            "Leave it out, or set network.dims to 2."
        )
    for setting, step in chosen.steps.items():
        value = getattr(network, setting)
        if value != "auto" and value % step:
            problems.append(f"network.{setting} = {value}: must be a multiple of {step} for {name}.")
    return problems + _head_problems(network, chosen) + _size_problems(config, chosen)


def _alias_conflicts(network: NetworkConfig) -> list[str]:
    """Settings with two names that say different things."""
    problems = []
    if network.dims != "auto" and network.dimension not in ("auto", f"{network.dims}d"):
        problems.append(
            f"network.dims = {network.dims} and network.dimension = {network.dimension!r}: both say along how many "
            "axes it works. Leave one out."
        )
    classes = {network.out_channels, network.num_classes} - {"auto"}
    if len(classes) > 1:
        problems.append(
            f"network.out_channels = {network.out_channels} and network.num_classes = {network.num_classes}: both "
            "count the classes with the background. Leave one out."
        )
    return problems


def _head_problems(network: NetworkConfig, architecture: Architecture) -> list[str]:
    """Tokens that cannot be shared out evenly among the heads."""
    if "num_heads" not in architecture.settings:
        return []
    width, heads = (chosen_settings(network)[name] for name in ("embed_dim", "num_heads"))
    if width % heads == 0:
        return []
    return [f"network.embed_dim = {width} and network.num_heads = {heads}: the width must be a multiple of the heads."]


def _networks_with(setting: str) -> str:
    names = [
        name
        for name, architecture in ARCHITECTURES.items()
        if setting in architecture.settings or (setting == "img_size" and architecture.has_img_size)
    ]
    return f" Leave it out, or set network.type to {' or '.join(names)}." if names else " Leave it out."


def _size_problems(config: TrainConfig, architecture: Architecture) -> list[str]:
    """Image sizes that are no sizes, or that contradict each other."""
    problems = []
    sizes = {"data.image_size": config.data.image_size, "network.img_size": config.network.img_size}
    chosen = {name: size for name, size in sizes.items() if size != "auto"}
    for name, size in chosen.items():
        lengths = architecture.dims if isinstance(size, list) else (1,)
        if len(edges(size, 1)) not in lengths:
            each = " or ".join(f"{count} (one an axis)" for count in architecture.dims)
            problems.append(f"{name} = {size}: give one positive number, or {each}.")
    if len(chosen) == 2 and not problems:
        data, network = (edges(size, architecture.dims[0]) for size in chosen.values())
        if data != network:
            problems.append(
                f"network.img_size = {config.network.img_size} and data.image_size = {config.data.image_size}: "
                "both say what the network sees at once. Make them equal, or leave one out."
            )
    return problems
