"""The tensors of nnU-Net's two U-Nets under their names and under ours, both ways.

Theirs after the package dynamic-network-architectures 0.4.4, whose ``state_dict`` has every tensor of a convolution
again below ``all_modules``, and those of the encoder once more below ``decoder.encoder``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from MedSegTrainerLib.config.architectures import NNUNET
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.given_tensors import fitted
from MedSegTrainerLib.model.weights_file import named
from MedSegTrainerLib.networks.state_shapes import state_shapes

UNUSED = re.compile(r"decoder\.encoder\.|.*\.all_modules\.|decoder\.seg_layers\.[0-9]{1,2}\.(weight|bias)$")
WRAPPED = "module."  # what several processes put before every name, and nnU-Net takes away again
HALVES = {"first": "conv1", "second": "conv2"}


def from_nnunet(
    network_weights: Mapping[str, Any], architecture: str, parameters: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """The ``state_dict`` of our network, of a checkpoint's ``network_weights``; raises ModelError.

    Heads that only deep supervision of the coarsest level, or none at all, would have are left out. What is missing,
    unknown, of another shape or type, or no finite number is named.
    """
    shapes = state_shapes(architecture, parameters)
    names = their_names(architecture, parameters, shapes)
    given = {str(name).removeprefix(WRAPPED): value for name, value in network_weights.items()}
    wanted = {theirs: shapes[ours] for ours, theirs in names.items()}
    given = {name: value for name, value in given.items() if name in wanted or not UNUSED.match(name)}
    found = fitted(given, wanted)
    return {ours: found[theirs] for ours, theirs in names.items()}


def to_nnunet(
    weights: Mapping[str, torch.Tensor], architecture: str, parameters: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """``network_weights`` of a checkpoint that nnU-Net's network takes as they are; raises ModelError.

    A head that ours does not have, as it is none that a prediction needs, is zeros.
    """
    shapes = state_shapes(architecture, parameters)
    names = their_names(architecture, parameters, shapes)
    if weights.keys() != names.keys():
        raise ModelError(f"not the weights of a {architecture}: {named(sorted(weights.keys() ^ names.keys()))}")
    has_dropout = bool(parameters.get("dropout"))
    result: dict[str, torch.Tensor] = {}
    for ours, theirs in names.items():
        for name in (theirs, *_repetitions(theirs, has_dropout=has_dropout)):
            result[name] = weights[ours].detach().to("cpu")
    return result | _unused_heads(parameters, result)


def their_names(architecture: str, parameters: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    """nnU-Net's name of each tensor of our network; raises ModelError where the network is none of theirs."""
    if architecture not in NNUNET or parameters.get("norm") == "group":
        norm = f" with {parameters['norm']} norm" if architecture in NNUNET else ""
        raise ModelError(f"{architecture}{norm} is no network of nnU-Net's; those are {' and '.join(NNUNET)}")
    return {name: _theirs(name, parameters["strides"]) for name in ours}


def _theirs(name: str, strides: list[list[int]]) -> str:
    part, *rest = name.replace(".norm.norm.", ".norm.").split(".")
    if part == "stem":
        return ".".join(["encoder", "stem", "convs", "0", *rest])
    level = int(rest[0])
    coarsest_first = str(len(strides) - 2 - level)
    if part in ("up", "heads"):
        return ".".join(["decoder", "transpconvs" if part == "up" else "seg_layers", coarsest_first, *rest[1:]])
    if part == "decoder":
        return ".".join(["decoder", "stages", coarsest_first, "convs", *rest[1:]])
    if rest[2] in HALVES:
        return ".".join(["encoder", "stages", rest[0], "blocks", rest[1], HALVES[rest[2]], *rest[3:]])
    if rest[2] == "skip":
        behind_pooling = str(int(rest[1] == "0" and max(strides[level]) > 1))
        return ".".join(["encoder", "stages", rest[0], "blocks", rest[1], "skip", behind_pooling, *rest[3:]])
    return ".".join(["encoder", "stages", rest[0], "0", "convs", *rest[1:]])


def _repetitions(name: str, *, has_dropout: bool) -> Iterator[str]:
    """The other names of the same tensor in nnU-Net's ``state_dict``."""
    module, _, entry = name.rpartition(".")
    block, _, layer = module.rpartition(".")
    if layer in ("conv", "norm"):
        dropped = has_dropout and not re.search(r"\.(conv2|skip\.[01])$", block)
        again = f"{block}.all_modules.{0 if layer == 'conv' else 1 + dropped}.{entry}"
        yield again
        if name.startswith("encoder."):
            yield f"decoder.{again}"
    if name.startswith("encoder."):
        yield f"decoder.{name}"


def _unused_heads(parameters: Mapping[str, Any], there: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    features, outputs = parameters["features"], parameters["out_channels"]
    heads = {}
    for level in range(len(features) - 1):
        name = f"decoder.seg_layers.{len(features) - 2 - level}"
        if f"{name}.weight" not in there:
            heads[f"{name}.weight"] = torch.zeros(outputs, features[level], *[1] * parameters["dims"])
            heads[f"{name}.bias"] = torch.zeros(outputs)
    return heads
