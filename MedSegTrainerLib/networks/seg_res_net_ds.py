"""SegResNet with deep supervision, as MONAI's Auto3DSeg trains it, tensor for tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import monai_norm, with_fast_instance_norms


class SegResNetDS(nn.Module):
    """(B, in_channels, z, y, x) to a list of logits (B, out_channels, z, y, x), full resolution first.

    Myronenko 2018, https://arxiv.org/abs/1810.11654, in the form of MONAI's ``SegResNetDS``; in evaluation mode or
    without deep supervision the list has one entry. blocks: residual blocks of each level, finest first. levels_judged:
    of the decoder, the finest first, that have logits. resolution: mm of the voxels for which kernels and strides are
    thinner along coarse axes; None: alike along all.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        init_filters: int,
        norm: str,
        deep_supervision: bool,
        blocks: Sequence[int] = (1, 2, 2, 4, 4),
        levels_judged: int = 4,
        resolution: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        from monai.networks.nets import SegResNetDS as Body  # takes seconds

        self.body = with_fast_instance_norms(
            Body(
                in_channels=in_channels,
                out_channels=out_channels,
                init_filters=init_filters,
                norm=monai_norm(norm, init_filters),
                blocks_down=tuple(blocks),
                dsdepth=levels_judged if deep_supervision else 1,
                resolution=None if resolution is None else tuple(resolution),
            )
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = self.body(x)
        return list(found) if isinstance(found, (list, tuple)) else [found]
