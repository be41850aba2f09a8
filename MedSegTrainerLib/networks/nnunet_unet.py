"""nnU-Net's two U-Nets, plain and with a residual encoder, tensor for tensor, made of this library's fast layers.

Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, and 2024, https://arxiv.org/abs/2404.09556; layers and
their order after the package dynamic-network-architectures 0.4.4, which is not needed here. The residual blocks are
those of ResNet-D (He et al. 2019, https://arxiv.org/abs/1812.01187). ``model/nnunet_tensors.py`` maps the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import NO_ACTIVATION, SLOPE, norm_act
from MedSegTrainerLib.networks.layers import AveragePool, upsample_and_join

Edges = Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Style:
    """What all convolutions of a network have in common. dropout: share of maps that are off in training."""

    dims: int
    norm: str
    slope: float
    bias: bool
    dropout: float

    def conv(self, inputs: int, outputs: int, kernel: Edges, stride: Edges, *, bias: bool) -> nn.Module:
        kind: type[nn.Module] = nn.Conv3d if self.dims == 3 else nn.Conv2d
        return kind(inputs, outputs, tuple(kernel), tuple(stride), tuple(edge // 2 for edge in kernel), bias=bias)

    def up(self, inputs: int, outputs: int, stride: Edges) -> nn.Module:
        kind: type[nn.Module] = nn.ConvTranspose3d if self.dims == 3 else nn.ConvTranspose2d
        return kind(inputs, outputs, tuple(stride), tuple(stride), bias=self.bias)

    def dropped(self) -> nn.Module:
        kind: type[nn.Module] = nn.Dropout3d if self.dims == 3 else nn.Dropout2d
        return kind(self.dropout) if self.dropout else nn.Identity()

    def pool(self, stride: Edges) -> nn.Module:
        if max(stride) <= 2:
            return AveragePool(stride)
        kind: type[nn.Module] = nn.AvgPool3d if self.dims == 3 else nn.AvgPool2d
        return kind(tuple(stride), tuple(stride))

    @property
    def ones(self) -> list[int]:
        return [1] * self.dims


def plain_conv_unet(**parameters: Any) -> nn.Module:
    """nnU-Net's ``PlainConvUNet``; ``blocks`` are convolutions."""
    return NnunetUNet(residual=False, **parameters)


def res_enc_unet(**parameters: Any) -> nn.Module:
    """nnU-Net's ``ResidualEncoderUNet``; ``blocks`` are residual blocks of two convolutions, behind a stem of one."""
    return NnunetUNet(residual=True, **parameters)


class NnunetUNet(nn.Module):
    """U-Net for (B, in_channels, *spatial) with ``dims`` spatial axes; each must be a multiple of its stride product.

    features, strides, kernels (odd) and blocks have one entry a level, finest first; its stride is 1. decoder_blocks:
    convolutions of each level but the coarsest, finest first too. Returns a list of logits (B, out_channels,
    *spatial), full resolution first; in evaluation mode or without deep supervision the list has one entry. With it
    every level of the decoder has logits but the coarsest, to which nnU-Net gives the weight 0. norm: of ``norm_act``.
    slope: of the leaky ReLU; 0 is a ReLU. conv_bias: of convolutions, though a norm takes it away again.
    """

    def __init__(
        self,
        *,
        residual: bool,
        dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        strides: Sequence[Edges],
        kernels: Sequence[Edges],
        blocks: Sequence[int],
        decoder_blocks: Sequence[int],
        deep_supervision: bool,
        conv_bias: bool = True,
        norm: str = "instance",
        slope: float = SLOPE,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        style = Style(dims=dims, norm=norm, slope=slope, bias=conv_bias, dropout=dropout)
        self.deep_supervision = deep_supervision
        self.stem = _ConvNorm(style, in_channels, features[0], kernels[0], style.ones) if residual else nn.Identity()
        stage = _residual_blocks if residual else _convolutions
        inputs = [features[0] if residual else in_channels, *features[:-1]]
        self.encoder = nn.ModuleList(
            stage(style, *level) for level in zip(inputs, features, kernels, strides, blocks, strict=True)
        )
        finer = range(len(features) - 1)
        self.up = nn.ModuleList(style.up(features[i + 1], features[i], strides[i + 1]) for i in finer)
        self.decoder = nn.ModuleList(
            _convolutions(style, 2 * features[i], features[i], kernels[i], style.ones, decoder_blocks[i]) for i in finer
        )
        self.heads = nn.ModuleList(
            style.conv(features[i], out_channels, style.ones, style.ones, bias=True)
            for i in range(max(1, len(features) - 2) if deep_supervision else 1)
        )
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(x)
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


class _ConvNorm(nn.Module):
    """A convolution, its norm, the sum with a shortcut where there is one, and the activation."""

    def __init__(self, style: Style, inputs: int, outputs: int, kernel: Edges, stride: Edges) -> None:
        super().__init__()
        self.conv = style.conv(inputs, outputs, kernel, stride, bias=style.bias)
        self.dropout = style.dropped()
        self.norm = norm_act(style.norm, outputs, style.dims, style.slope)

    def forward(self, x: torch.Tensor, *shortcut: torch.Tensor) -> torch.Tensor:
        summed: torch.Tensor = self.norm(self.dropout(self.conv(x)), *shortcut)
        return summed


class _ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input, averaged and projected where shapes differ."""

    def __init__(self, style: Style, inputs: int, outputs: int, kernel: Edges, stride: Edges) -> None:
        super().__init__()
        self.first = _ConvNorm(style, inputs, outputs, kernel, stride)
        self.second = _ConvNorm(replace(style, dropout=0.0), outputs, outputs, kernel, style.ones)
        self.pool = style.pool(stride) if max(stride) > 1 else nn.Identity()
        unchanged = replace(style, dropout=0.0, bias=False, slope=NO_ACTIVATION)
        has_projection = inputs != outputs
        self.skip = _ConvNorm(unchanged, inputs, outputs, style.ones, style.ones) if has_projection else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        summed: torch.Tensor = self.second(self.first(x), self.skip(self.pool(x)))
        return summed


def _convolutions(style: Style, inputs: int, outputs: int, kernel: Edges, stride: Edges, count: int) -> nn.Sequential:
    first = _ConvNorm(style, inputs, outputs, kernel, stride)
    return nn.Sequential(first, *(_ConvNorm(style, outputs, outputs, kernel, style.ones) for _ in range(count - 1)))


def _residual_blocks(style: Style, inputs: int, outputs: int, kernel: Edges, stride: Edges, count: int) -> nn.Module:
    first = _ResidualBlock(style, inputs, outputs, kernel, stride)
    return nn.Sequential(
        first, *(_ResidualBlock(style, outputs, outputs, kernel, style.ones) for _ in range(count - 1))
    )


def _initialise(module: nn.Module) -> None:
    """As nnU-Net does; a residual block adds nothing at first (``init_last_bn_before_add_to_0``)."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, _ResidualBlock):
        for parameter in module.second.norm.parameters():
            nn.init.zeros_(parameter)
