"""The encoder of the 2D networks that are not U-Nets: a residual network of MONAI's (He et al. 2016, ResNet-18)."""

from __future__ import annotations

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import with_norms

BLOCKS = 2  # a stage


class ResidualEncoder(nn.Module):
    """(B, C, y, x) to maps at 1/2, 1/4, 1/8 and 1/16 of the size, and with ``dilated`` once more at 1/16.

    They have ``base``, ``base``, 2, 4 and 8 times ``base`` features. The last stage of a ResNet-18 would go down to
    1/32; instead its kernels reach twice as far (Chen et al. 2018). norm: of ``monai_norm``.
    """

    def __init__(self, in_channels: int, base: int, norm: str, *, dilated: bool) -> None:
        from monai.networks.nets.resnet import ResNet

        super().__init__()
        body = ResNet(
            block="basic",
            layers=[BLOCKS] * 4,
            block_inplanes=[base * 2**stage for stage in range(4)],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.stem = nn.Sequential(body.conv1, body.bn1, body.act)
        self.pool = body.maxpool
        stages = [body.layer1, body.layer2, body.layer3]
        self.stages = nn.ModuleList([*stages, _dilated(body.layer4)] if dilated else stages)
        with_norms(self, norm)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = [self.stem(x)]
        x = self.pool(maps[0])
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _dilated(stage: nn.Module) -> nn.Module:
    """The stage with kernels that reach twice as far instead of a stride of 2."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            if layer.kernel_size == (3, 3):
                layer.dilation, layer.padding = (2, 2), (2, 2)
    return stage
