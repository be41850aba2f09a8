"""Vision transformers of MONAI: Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

UNETR_LAYERS = 12  # that MONAI's UNETR counts in


def vision_transformer(
    *,
    dims: int,
    in_channels: int,
    img_size: Sequence[int],
    patch: int,
    embed_dim: int,
    num_heads: int,
    num_layers: int,
    dropout: float,
) -> nn.Module:
    """(B, in_channels, *img_size) to tokens (B, n, embed_dim), n patches of ``patch`` pixels an edge, and the tokens
    behind each layer.

    The normalisation in front of a cross-attention that is not there goes: it would never learn.
    """
    from monai.networks.nets import ViT

    network = ViT(
        in_channels=in_channels,
        img_size=tuple(img_size),
        patch_size=patch,
        hidden_size=embed_dim,
        mlp_dim=4 * embed_dim,
        num_layers=num_layers,
        num_heads=num_heads,
        dropout_rate=dropout,
        spatial_dims=dims,
    )
    for block in network.blocks:
        block.norm_cross_attn = nn.Identity()
    return network


class EvenlySpacedLayers(nn.Module):
    """A transformer of any number of layers for MONAI's UNETR, which takes the tokens behind three of twelve."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        last, layers = self.transformer(x)
        return last, [layers[i * len(layers) // UNETR_LAYERS] for i in range(UNETR_LAYERS)]


def as_maps(tokens: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Tokens (B, n, C) as maps (B, C, *size)."""
    return tokens.transpose(1, 2).unflatten(2, tuple(size))
