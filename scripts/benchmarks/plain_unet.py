"""The planned U-Net as one would write it in plain PyTorch, and a loss for it: what ours must be faster than.

Written apart from MedSegTrainerLib.networks, which may become faster without this becoming so too.
A test sees that both compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

SMOOTH = 1e-5
SLOPE = 0.01
ONES = (1, 1, 1)


class PlainUNet(nn.Module):
    """Takes the parameters of ``PlannedUNet`` in 3D, with one block a level; returns its list of logits."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__()
        features, strides, kernels = (parameters[name] for name in ("features", "strides", "kernels"))
        if parameters["dims"] != 3 or max(parameters["blocks"]) > 1:
            msg = f"PlainUNet has 3 dimensions and 1 block a level, not {parameters['dims']} and {parameters['blocks']}"
            raise ValueError(msg)
        inputs = [parameters["in_channels"], *features]
        levels = range(len(features))
        self.encoder = nn.ModuleList(_Residual(inputs[i], features[i], strides[i], kernels[i]) for i in levels)
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(features[i + 1], features[i], strides[i + 1], strides[i + 1]) for i in levels[:-1]
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(
                _conv(2 * features[i], features[i], ONES, kernels[i]),
                nn.InstanceNorm3d(features[i], affine=True),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for i in levels[:-1]
        )
        heads = max(1, len(features) - 2) if parameters["deep_supervision"] else 1
        self.heads = nn.ModuleList(nn.Conv3d(features[i], parameters["out_channels"], 1) for i in range(heads))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        logits = []
        for i in reversed(range(len(self.up))):
            x = self.decoder[i](torch.cat([self.up[i](x), skips[i]], dim=1))
            if i == 0 or (self.training and i < len(self.heads)):
                logits.append(self.heads[i](x))
        return logits[::-1] or [self.heads[0](x)]


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: Sequence[int], kernel: Sequence[int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(inputs, outputs, stride, kernel),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            _conv(outputs, outputs, ONES, kernel),
            nn.InstanceNorm3d(outputs, affine=True),
        )
        self.shortcut = nn.Sequential()
        if max(stride) > 1:
            self.shortcut.append(nn.AvgPool3d(_triple(stride), _triple(stride)))
        if inputs != outputs:
            self.shortcut.append(nn.Conv3d(inputs, outputs, 1, bias=False))
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


def plain_loss(logits: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Half Dice of each sample, half cross-entropy at every resolution, each weighing half of the one above, in sum 1.

    Logits (B, C, *spatial), full resolution first; labels int64 (B, z, y, x), class indices.
    """
    shares = [0.5**level for level in range(len(logits))]
    total = torch.zeros((), device=labels.device)
    for share, level in zip(shares, logits, strict=True):
        target = functional.interpolate(labels[:, None].float(), size=level.shape[2:], mode="nearest")[:, 0].long()
        loss = 0.5 * _dice_loss(level, target) + 0.5 * functional.cross_entropy(level, target)
        total = total + share / sum(shares) * loss
    return total


def _dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    probabilities = torch.softmax(logits, dim=1)
    one_hot = functional.one_hot(target, logits.shape[1]).permute(0, 4, 1, 2, 3).float()
    axes = (2, 3, 4)
    overlap = (probabilities * one_hot).sum(axes)
    dice = (2 * overlap + SMOOTH) / (probabilities.sum(axes) + one_hot.sum(axes) + SMOOTH)
    return 1 - dice[:, 1:].mean()


def _conv(inputs: int, outputs: int, stride: Sequence[int], kernel: Sequence[int]) -> nn.Module:
    padding = _triple([k // 2 for k in kernel])
    return nn.Conv3d(inputs, outputs, _triple(kernel), _triple(stride), padding, bias=False)


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    return values[0], values[1], values[2]
