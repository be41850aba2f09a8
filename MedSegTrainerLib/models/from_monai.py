"""Networks of MONAI under the names and parameters of the guide, each with the list of logits that training expects.

MONAI is imported where a network is built: it takes seconds, which a job with another network does not owe.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from MedSegTrainerLib.models.norm import with_fast_instance_norms

MOST_GROUPS = 8


class ListOfLogits(nn.Module):
    """A network with one result as one that gives a list: (B, C, *spatial) to [(B, classes, *spatial)]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = with_fast_instance_norms(body)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.body(x)]


def unet_2d(*, in_channels: int, out_channels: int, base_channels: int, norm: str, dropout: float) -> nn.Module:
    """U-Net of Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597, with padding, norm and leaky ReLU.

    Feature maps are doubled at each of four halvings. Any size of at least 32 goes in.
    """
    return _basic_unet(2, in_channels, out_channels, base_channels, norm, dropout)


def unet_3d(*, in_channels: int, out_channels: int, base_channels: int, norm: str, dropout: float) -> nn.Module:
    """The same along three axes, after Cicek et al. 2016, https://arxiv.org/abs/1606.06650."""
    return _basic_unet(3, in_channels, out_channels, base_channels, norm, dropout)


def swin_unetr(
    *, in_channels: int, out_channels: int, embed_dim: int, window_size: int, norm: str, dropout: float
) -> nn.Module:
    """Swin UNETR of Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266; axes are multiples of 32.

    ``norm`` is that of the convolutional blocks; ``dropout`` acts in the transformer.
    """
    from monai.networks.nets import SwinUNETR

    return ListOfLogits(
        SwinUNETR(
            in_channels=in_channels,
            out_channels=out_channels,
            feature_size=embed_dim,
            window_size=window_size,
            norm_name="instance" if norm == "instance" else _norm(norm, embed_dim),  # its authors' has no weights
            drop_rate=dropout,
        )
    )


def _basic_unet(dims: int, inputs: int, outputs: int, base: int, norm: str, dropout: float) -> nn.Module:
    from monai.networks.nets import BasicUNet

    features = [*(base * 2**level for level in range(5)), base]
    return ListOfLogits(
        BasicUNet(
            spatial_dims=dims,
            in_channels=inputs,
            out_channels=outputs,
            features=features,
            norm=_norm(norm, base),
            dropout=dropout,
        )
    )


def _norm(name: str, channels: int) -> tuple[str, dict[str, Any]]:
    """MONAI's words for a normalisation of feature maps, all of them multiples of ``channels``."""
    if name == "group":
        return "group", {"num_groups": math.gcd(channels, MOST_GROUPS)}
    return name, {"affine": True}
