"""DeepLabV3+ of Chen et al. 2018, https://arxiv.org/abs/1802.02611, on MONAI's blocks, with a ResNet-18 as encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.networks.instance_norm import monai_norm
from MedSegTrainerLib.networks.resnet_encoder import ResidualEncoder


class DeepLabV3Plus(nn.Module):
    """Logits (B, out_channels, y, x) of (B, in_channels, y, x), both axes multiples of 16.

    aspp_rates: distances, in maps of 1/16 of the size, at which the pyramid looks around. Widths follow from
    ``base_channels``: with 64 the pyramid has the 256 features and the low-level maps the 48 of the paper.
    dropout: share of the pyramid's maps that are switched off in training.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        aspp_rates: Sequence[int],
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        wide, low = 4 * base_channels, max(1, 3 * base_channels // 4)
        self.encoder = ResidualEncoder(in_channels, base_channels, norm, dilated=True)
        self.pyramid = _Pyramid(8 * base_channels, wide, aspp_rates, norm, dropout)
        self.low = _conv(base_channels, low, 1, norm)
        self.decoder = nn.Sequential(_separable(wide + low, wide, 1, norm), _separable(wide, wide, 1, norm))
        self.head = nn.Conv2d(wide, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, low, *_, coarse = self.encoder(x)
        upsampled = _resized(self.pyramid(coarse), low)
        joined = torch.cat([upsampled, self.low(low)], dim=1)
        return _resized(self.head(self.decoder(joined)), x)


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: each place as it is, its surroundings at several distances, and the whole.

    The whole is one value a map, which a normalisation over space would make 0: it has none.
    """

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int], norm: str, dropout: float) -> None:
        super().__init__()
        self.near = nn.ModuleList([_conv(inputs, outputs, 1, norm)])
        self.near.extend(_separable(inputs, outputs, rate, norm) for rate in rates)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1), nn.ReLU())
        self.join = nn.Sequential(_conv((len(rates) + 2) * outputs, outputs, 1, norm), nn.Dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near = [branch(x) for branch in self.near]
        whole = self.whole(x).expand(-1, -1, *x.shape[2:])
        joined: torch.Tensor = self.join(torch.cat([*near, whole], dim=1))
        return joined


def _conv(inputs: int, outputs: int, kernel: int, norm: str) -> nn.Module:
    from monai.networks.blocks.convolutions import Convolution

    return Convolution(2, inputs, outputs, kernel_size=kernel, act="relu", norm=monai_norm(norm, outputs), bias=False)


def _separable(inputs: int, outputs: int, rate: int, norm: str) -> nn.Module:
    """3 x 3 places ``rate`` apart in each map alone, then all maps of a place together."""
    apart = nn.Conv2d(inputs, inputs, 3, padding=rate, dilation=rate, groups=inputs, bias=False)
    return nn.Sequential(apart, _conv(inputs, outputs, 1, norm))


def _resized(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)
