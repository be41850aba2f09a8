"""TransUNet of Chen et al. 2021, https://arxiv.org/abs/2102.04306, on MONAI's blocks.

The paper's encoder is a pre-trained ResNet-50 with a ViT-B/16 of 768; here it is a ResNet-18 and the width is a
setting.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.networks.instance_norm import monai_norm
from MedSegTrainerLib.networks.resnet_encoder import ResidualEncoder
from MedSegTrainerLib.networks.vision_transformer import as_maps, vision_transformer

COARSE = 16  # edge in pixels of what becomes a token


class TransUNet(nn.Module):
    """Logits (B, out_channels, y, x) of (B, in_channels, y, x) with (y, x) = ``img_size``, multiples of 16.

    It takes images of this size alone: each place has a learned position. norm: of ``monai_norm``, in convolutions;
    ``dropout`` acts in the transformer.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        base_channels: int,
        embed_dim: int,
        num_heads: int,
        num_layers: int,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        base = base_channels
        self.size = [length // COARSE for length in img_size]
        self.encoder = ResidualEncoder(in_channels, base, norm, dilated=False)
        self.transformer = vision_transformer(
            dims=2,
            in_channels=4 * base,
            img_size=self.size,
            patch=1,
            embed_dim=embed_dim,
            num_heads=num_heads,
            num_layers=num_layers,
            dropout=dropout,
        )
        self.widen = _conv(embed_dim, 8 * base, norm)
        skips, widths = [2 * base, base, base, 0], [4 * base, 2 * base, base, max(2, base // 4)]
        inputs = [8 * base, *widths[:-1]]
        self.decoder = nn.ModuleList(
            nn.Sequential(_conv(inputs[i] + skips[i], widths[i], norm), _conv(widths[i], widths[i], norm))
            for i in range(4)
        )
        self.head = nn.Conv2d(widths[-1], out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *skips, coarse = self.encoder(x)
        tokens, _ = self.transformer(coarse)
        x = self.widen(as_maps(tokens, self.size))
        for block in self.decoder:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skips.pop()], dim=1) if skips else x)
        logits: torch.Tensor = self.head(x)
        return logits


def _conv(inputs: int, outputs: int, norm: str) -> nn.Module:
    from monai.networks.blocks.convolutions import Convolution

    return Convolution(2, inputs, outputs, kernel_size=3, act="relu", norm=monai_norm(norm, outputs), bias=False)
