"""Networks of MONAI under the names and parameters of the guide.

MONAI is imported where a network is built: it takes seconds, which a job with another network does not owe.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from MedSegTrainerLib.networks.instance_norm import monai_norm
from MedSegTrainerLib.networks.vision_transformer import EvenlySpacedLayers, vision_transformer

UNETR_FEATURES = 16  # at full resolution, as its authors have it


def unet_2d(*, in_channels: int, out_channels: int, base_channels: int, norm: str, dropout: float) -> nn.Module:
    """U-Net of Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597, with padding, norm and leaky ReLU.

    Feature maps are doubled at each of four halvings. Any size of at least 32 goes in.
    """
    return _basic_unet(2, in_channels, out_channels, base_channels, norm, dropout)


def unet_3d(*, in_channels: int, out_channels: int, base_channels: int, norm: str, dropout: float) -> nn.Module:
    """The same along three axes, after Cicek et al. 2016, https://arxiv.org/abs/1606.06650."""
    return _basic_unet(3, in_channels, out_channels, base_channels, norm, dropout)


def swin_unetr(
    *, in_channels: int, out_channels: int, embed_dim: int, window_size: int, norm: str, dropout: float
) -> nn.Module:
    """Swin UNETR of Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266; axes are multiples of 32.

    ``norm`` is that of the convolutional blocks; ``dropout`` acts in the transformer.
    """
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=embed_dim,
        window_size=window_size,
        norm_name="instance" if norm == "instance" else monai_norm(norm, embed_dim),  # its authors' has no weights
        drop_rate=dropout,
    )


def seg_res_net(
    *, dims: int, in_channels: int, out_channels: int, init_filters: int, norm: str, dropout: float
) -> nn.Module:
    """SegResNet of Myronenko 2018, https://arxiv.org/abs/1810.11654, without its autoencoder; axes: multiples of 8."""
    from monai.networks.nets import SegResNet

    return SegResNet(
        spatial_dims=dims,
        in_channels=in_channels,
        out_channels=out_channels,
        init_filters=init_filters,
        norm=monai_norm(norm, init_filters),
        dropout_prob=dropout or None,
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
    )


def unetr(
    *,
    in_channels: int,
    out_channels: int,
    img_size: Sequence[int],
    embed_dim: int,
    num_heads: int,
    num_layers: int,
    norm: str,
    dropout: float,
) -> nn.Module:
    """UNETR of Hatamizadeh et al. 2022, https://arxiv.org/abs/2103.10504; ``img_size`` (z, y, x) has multiples of 16.

    It takes images of this size alone: each place has a learned position. Maps of a quarter, half and three quarters
    of the layers go to the decoder. ``norm`` is that of the convolutional blocks; ``dropout`` acts in the transformer.
    """
    from monai.networks.nets import UNETR

    body = UNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        img_size=tuple(img_size),
        hidden_size=embed_dim,
        mlp_dim=4 * embed_dim,
        num_heads=num_heads,
        norm_name=monai_norm(norm, UNETR_FEATURES),
    )
    body.vit = EvenlySpacedLayers(
        vision_transformer(
            dims=3,
            in_channels=in_channels,
            img_size=img_size,
            patch=16,
            embed_dim=embed_dim,
            num_heads=num_heads,
            num_layers=num_layers,
            dropout=dropout,
        )
    )
    return body


def _basic_unet(dims: int, inputs: int, outputs: int, base: int, norm: str, dropout: float) -> nn.Module:
    from monai.networks.nets import BasicUNet

    features = [*(base * 2**level for level in range(5)), base]
    return BasicUNet(
        spatial_dims=dims,
        in_channels=inputs,
        out_channels=outputs,
        features=features,
        norm=monai_norm(norm, base),
        dropout=dropout,
    )
