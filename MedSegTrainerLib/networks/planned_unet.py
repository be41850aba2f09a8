"""The planned U-Net: residual encoder, one convolution a level in the decoder, optional deep supervision.

Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597; shape and residual encoder after
Isensee et al. 2021 and 2024, https://arxiv.org/abs/2404.09556. Feature maps, strides and kernels
are given for each level, so that anisotropic volumes are halved only along their fine axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import norm_act
from MedSegTrainerLib.networks.layers import AveragePool, upsample_and_join

Triple = Sequence[int]
Layer = Callable[..., nn.Module]


class PlannedUNet(nn.Module):
    """U-Net for (B, in_channels, *spatial) with ``dims`` spatial axes; each must be a multiple of its stride product.

    features, strides, kernels and blocks have one entry a level, finest first (its stride is 1).
    Returns a list of logits (B, out_channels, *spatial), full resolution first; in evaluation mode or
    without deep supervision the list has one entry. norm: of ``norm_act``. dropout: share of values that are
    switched off in training behind each level of the encoder.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        strides: Sequence[Triple],
        kernels: Sequence[Triple],
        blocks: Sequence[int],
        deep_supervision: bool,
        norm: str = "instance",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        conv: Layer = nn.Conv3d if dims == 3 else nn.Conv2d
        up: Layer = nn.ConvTranspose3d if dims == 3 else nn.ConvTranspose2d
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        levels = len(features)
        inputs = [in_channels, *features[:-1]]
        self.encoder = nn.ModuleList(
            _stage(conv, norm, inputs[i], features[i], strides[i], kernels[i], blocks[i]) for i in range(levels)
        )
        self.up = nn.ModuleList(
            up(features[i + 1], features[i], tuple(strides[i + 1]), tuple(strides[i + 1])) for i in range(levels - 1)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(_conv(conv, 2 * features[i], features[i], kernels[i], 1), norm_act(norm, features[i], dims))
            for i in range(levels - 1)
        )
        heads = max(1, levels - 2) if deep_supervision else 1  # the two coarsest levels say too little to be judged
        self.heads = nn.ModuleList(conv(features[i], out_channels, 1) for i in range(heads))
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        skips = []
        for stage in self.encoder:
            x = self.dropout(stage(x))
            skips.append(x)
        logits: list[torch.Tensor] = []
        for i in reversed(range(len(self.up))):
            x = self.decoder[i](upsample_and_join(self.up[i], x, skips[i]))
            if i == 0 or (self.training and i < len(self.heads)):
                logits.insert(0, self.heads[i](x))
        return logits or [self.heads[0](x)]


class _ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input, projected where shapes differ (He et al. 2016)."""

    def __init__(self, conv: Layer, norm: str, inputs: int, outputs: int, stride: Triple, kernel: Triple) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(conv, inputs, outputs, kernel, stride),
            norm_act(norm, outputs, len(kernel)),
            _conv(conv, outputs, outputs, kernel, 1),
            norm_act(norm, outputs, len(kernel)),
        )
        self.shortcut = nn.Sequential()
        if max(stride) > 1:
            self.shortcut.append(AveragePool(stride))
        if inputs != outputs:
            self.shortcut.append(conv(inputs, outputs, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body[3](self.body[:3](x), self.shortcut(x))  # the last norm adds the shortcut on its way


def _stage(
    conv: Layer, norm: str, inputs: int, outputs: int, stride: Triple, kernel: Triple, blocks: int
) -> nn.Sequential:
    ones = [1] * len(stride)
    first = _ResidualBlock(conv, norm, inputs, outputs, stride, kernel)
    others = (_ResidualBlock(conv, norm, outputs, outputs, ones, kernel) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


def _conv(conv: Layer, inputs: int, outputs: int, kernel: Triple, stride: Triple | int) -> nn.Module:
    step = stride if isinstance(stride, int) else tuple(stride)
    return conv(inputs, outputs, tuple(kernel), step, tuple(k // 2 for k in kernel), bias=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
