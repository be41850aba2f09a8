"""nnU-Net's default network from this library's layers, so that both training steps can be held side by side on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import norm_act
from MedSegTrainerLib.networks.layers import upsample_and_join


class PlainConvUNet(nn.Module):
    """U-Net of Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, in 3D, with instance norm.

    features, strides and kernels have one entry a level, finest first. convolutions: of each level of the encoder;
    decoder_convolutions: of each of the decoder, finest first. Returns logits (B, out_channels, z, y, x), full
    resolution first; in training one for each level of the decoder but the coarsest, to which nnU-Net gives the
    weight 0. As in nnU-Net convolutions have a bias, although the norm takes it away again.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        convolutions: Sequence[int],
        decoder_convolutions: Sequence[int],
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        levels = range(len(features))
        inputs = [in_channels, *features]
        self.encoder = nn.ModuleList(
            _stack(inputs[i], features[i], strides[i], kernels[i], convolutions[i]) for i in levels
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(features[i + 1], features[i], _triple(strides[i + 1]), _triple(strides[i + 1]))
            for i in levels[:-1]
        )
        self.decoder = nn.ModuleList(
            _stack(2 * features[i], features[i], (1, 1, 1), kernels[i], decoder_convolutions[i]) for i in levels[:-1]
        )
        heads = max(1, len(features) - 2) if deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv3d(features[i], out_channels, 1) for i in range(heads))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        logits: list[torch.Tensor] = []
        for i in reversed(range(len(self.up))):
            x = self.decoder[i](upsample_and_join(self.up[i], x, skips[i]))
            if i == 0 or (self.training and i < len(self.heads)):
                logits.insert(0, self.heads[i](x))
        return logits


def _stack(inputs: int, outputs: int, stride: Sequence[int], kernel: Sequence[int], convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(convolutions):
        step = _triple(stride if i == 0 else (1, 1, 1))
        padding = _triple([k // 2 for k in kernel])
        layers.append(nn.Conv3d(outputs if i else inputs, outputs, _triple(kernel), step, padding))
        layers.append(norm_act("instance", outputs, 3))
    return nn.Sequential(*layers)


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = values
    return z, y, x
