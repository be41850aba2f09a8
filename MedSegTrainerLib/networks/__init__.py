"""Networks by the names that configurations and model packages use: ``config/architectures.py`` lists them."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from torch import nn

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.errors import ModelError, did_you_mean
from MedSegTrainerLib.networks.list_of_logits import ListOfLogits
from MedSegTrainerLib.networks.onednn_conv_fix import with_right_thin_maps


def build_network(architecture: str, parameters: dict[str, Any]) -> nn.Module:
    """A network with fresh weights, from (B, C, *spatial) to a list of logits, full resolution first.

    Raises ModelError for an unknown name or parameters it does not take.
    """
    entry = ARCHITECTURES.get(architecture)
    if entry is None:
        raise ModelError(f"'{architecture}' is no known network.{did_you_mean(architecture, ARCHITECTURES)}")
    try:
        network: nn.Module = resolve_name(entry.builder)(**parameters)
        return with_right_thin_maps(network if entry.gives_list else ListOfLogits(network))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{architecture} cannot be built: {error}. The model file does not fit this version."
        ) from None
