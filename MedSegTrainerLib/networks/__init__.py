"""Networks by the names that configurations and model packages use."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn

from MedSegTrainerLib.errors import ModelError, did_you_mean
from MedSegTrainerLib.networks.deeplab import DeepLabV3Plus
from MedSegTrainerLib.networks.monai_networks import ListOfLogits, seg_res_net, swin_unetr, unet_2d, unet_3d, unetr
from MedSegTrainerLib.networks.onednn_conv_fix import with_right_thin_maps
from MedSegTrainerLib.networks.planned_unet import PlannedUNet
from MedSegTrainerLib.networks.transunet import TransUNet
from MedSegTrainerLib.networks.vnet import VNet


def _list_of(network: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """A network with one result as one that gives the list of logits that training expects."""

    @wraps(network)
    def build(**parameters: Any) -> nn.Module:
        return ListOfLogits(network(**parameters))

    return build


MODELS: dict[str, Callable[..., nn.Module]] = {
    "PlannedUNet": PlannedUNet,
    "UNet2D": unet_2d,
    "UNet3D": unet_3d,
    "VNet": _list_of(VNet),
    "SegResNet": seg_res_net,
    "DeepLabV3Plus": _list_of(DeepLabV3Plus),
    "TransUNet": _list_of(TransUNet),
    "UNETR": unetr,
    "SwinUNETR": swin_unetr,
}


def build_network(architecture: str, parameters: dict[str, Any]) -> nn.Module:
    """A network with fresh weights; raises ModelError for an unknown name or parameters it does not take."""
    if architecture not in MODELS:
        raise ModelError(f"'{architecture}' is no known network.{did_you_mean(architecture, MODELS)}")
    try:
        return with_right_thin_maps(MODELS[architecture](**parameters))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{architecture} cannot be built: {error}. The model file does not fit this version."
        ) from None
