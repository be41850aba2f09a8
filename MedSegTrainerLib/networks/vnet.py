"""V-Net of Milletari et al. 2016, https://arxiv.org/abs/1606.04797, made of MONAI's transitions, at any width.

MONAI's own class has 16 feature maps, ELU and batch normalisation built in.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import monai_norm, with_norms

ACT = "prelu"
CONVOLUTIONS_DOWN = (1, 2, 3, 2)  # behind each halving, as in MONAI; the paper has 2, 3, 3, 3
CONVOLUTIONS_UP = (1, 1, 2, 2)  # finest first


class VNet(nn.Module):
    """V-Net for (B, in_channels, *spatial) with ``dims`` axes, multiples of 16; logits (B, out_channels, *spatial).

    Feature maps are doubled at each of four halvings; kernels have 5 voxels an axis. norm: of ``monai_norm``; the
    logits come from maps that are not normalised, else every patch would have as much of each class as any other.
    dropout: share of the maps that are switched off at the two coarsest levels.
    """

    def __init__(
        self, *, dims: int, in_channels: int, out_channels: int, base_channels: int, norm: str, dropout: float
    ) -> None:
        from monai.networks.nets.vnet import DownTransition, OutputTransition, UpTransition

        super().__init__()
        widths = [base_channels * 2**level for level in range(5)]
        rates = [None, None, dropout or None, dropout or None]
        self.first = _FirstTransition(dims, in_channels, base_channels, norm)
        self.down = nn.ModuleList(
            DownTransition(dims, widths[i], CONVOLUTIONS_DOWN[i], ACT, dropout_prob=rates[i], dropout_dim=dims)
            for i in range(4)
        )
        coarser = [*(2 * width for width in widths[1:4]), widths[4]]  # what comes up: both halves of a join
        self.up = nn.ModuleList(
            UpTransition(
                dims,
                coarser[i],
                2 * widths[i],
                CONVOLUTIONS_UP[i],
                ACT,
                dropout_prob=(rates[i], rates[i] or 0.0),
                dropout_dim=dims,
            )
            for i in range(4)
        )
        self.last = OutputTransition(dims, 2 * base_channels, out_channels, ACT)
        with_norms(self, norm)
        self.last.conv_block = self.last.conv_block.conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in reversed(self.up):
            x = up(x, maps.pop())
        logits: torch.Tensor = self.last(x)
        return logits


class _FirstTransition(nn.Module):
    """A convolution and a shortcut of the channels, repeated; MONAI's takes no number that does not divide the maps."""

    def __init__(self, dims: int, inputs: int, outputs: int, norm: str) -> None:
        from monai.networks.blocks.convolutions import Convolution
        from monai.networks.nets.vnet import get_acti_layer

        super().__init__()
        self.repeats, self.outputs = -(-outputs // inputs), outputs
        self.conv = Convolution(
            dims, inputs, outputs, kernel_size=5, act=None, norm=monai_norm(norm, outputs), bias=False
        )
        self.act: Callable[[torch.Tensor], torch.Tensor] = get_acti_layer(ACT, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(x) + torch.cat([x] * self.repeats, dim=1)[:, : self.outputs])
