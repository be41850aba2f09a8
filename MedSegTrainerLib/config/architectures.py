"""The networks: for each what builds it, the axes and sizes it takes, its settings, its rows in the guide's tables.

A new network is an entry here and a file with its builder; what it has for a setting that no other has is declared in
``settings.py``. No torch here: configurations are checked where a job is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PLANNED = "PlannedUNet"  # what 'auto' is
NNUNET = ("PlainConvUNet", "ResEncUNet")  # nnU-Net's, with its own rule for their levels
SMALLEST_MAP_VOXELS = 4  # at the coarsest level: of one voxel, instance norm makes 0 whatever it was
Family = Literal["unet", "deeplab", "transformer"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a network can be.

    builder: "module:function" that returns it, as a module from (B, in_channels, *spatial) to logits (B, out_channels,
    *spatial); its parameters are in_channels, out_channels and the names of ``settings``, and ``dims`` where it works
    along 2 or 3 axes. gives_list: whether it returns a list of logits instead, full resolution first.

    dims: numbers of spatial axes it works along. divisor: what each of them must be a multiple of; None where
    the network is planned around its patch. settings: the ``network.*`` settings it has, beside those of every
    network, and what 'auto' is for them. has_img_size: whether ``network.img_size`` names its patch. is_fixed: whether
    it learns a value for each place of the patch and so takes no other size; ``img_size`` is then a parameter too.
    is_fixed_traced: whether it takes other sizes, but not after it was traced for an export. is_multi_scale: whether
    its authors train on images of many sizes. of_imported: further parameters, which are the builder's own but in
    models of other programs. steps: settings that must be multiples of a number.

    family: its row in the guide's tables by model type. memory_row: the first row of the guide's table by memory that
    names it: 0 for under 8 GB, 1 for 8 to 16 GB, 2 for over 16 GB.
    """

    builder: str
    family: Family
    dims: tuple[int, ...]
    divisor: int | None
    settings: Mapping[str, Any]
    gives_list: bool = False
    has_img_size: bool = False
    is_fixed: bool = False
    is_fixed_traced: bool = False
    is_multi_scale: bool = False
    of_imported: tuple[str, ...] = ()
    steps: Mapping[str, int] = field(default_factory=dict)
    memory_row: Literal[0, 1, 2] = 0


CONVOLUTIONAL = {"norm": "instance", "dropout": 0.0}
ARCHITECTURES: dict[str, Architecture] = {
    PLANNED: Architecture(
        builder="MedSegTrainerLib.networks.planned_unet:PlannedUNet", family="unet", dims=(2, 3), divisor=None,
        settings={"base_channels": 16, **CONVOLUTIONAL, "deep_supervision": "auto"}, gives_list=True,
    ),
    "PlainConvUNet": Architecture(
        builder="MedSegTrainerLib.networks.nnunet_unet:plain_conv_unet", family="unet", dims=(2, 3), divisor=None,
        settings={"base_channels": 32, **CONVOLUTIONAL, "deep_supervision": "auto"}, gives_list=True,
    ),
    "ResEncUNet": Architecture(
        builder="MedSegTrainerLib.networks.nnunet_unet:res_enc_unet", family="unet", dims=(2, 3), divisor=None,
        settings={"base_channels": 32, **CONVOLUTIONAL, "deep_supervision": "auto"}, gives_list=True,
    ),
    "UNet2D": Architecture(
        builder="MedSegTrainerLib.networks.monai_networks:unet_2d", family="unet", dims=(2,), divisor=16,
        settings={"base_channels": 64, **CONVOLUTIONAL},
    ),
    "UNet3D": Architecture(
        builder="MedSegTrainerLib.networks.monai_networks:unet_3d", family="unet", dims=(3,), divisor=16,
        settings={"base_channels": 32, **CONVOLUTIONAL}, memory_row=1,
    ),
    "VNet": Architecture(
        builder="MedSegTrainerLib.networks.vnet:VNet", family="unet", dims=(2, 3), divisor=16,
        settings={"base_channels": 16, **CONVOLUTIONAL}, memory_row=1,
    ),
    "SegResNet": Architecture(
        builder="MedSegTrainerLib.networks.monai_networks:seg_res_net", family="unet", dims=(2, 3), divisor=8,
        settings={"init_filters": 8, "norm": "group", "dropout": 0.0},
    ),
    "SegResNetDS": Architecture(
        builder="MedSegTrainerLib.networks.seg_res_net_ds:SegResNetDS", family="unet", dims=(3,), divisor=16,
        settings={"init_filters": 32, "norm": "instance", "deep_supervision": True}, gives_list=True, memory_row=1,
        of_imported=("blocks", "levels_judged", "resolution"),
    ),
    "DeepLabV3Plus": Architecture(
        builder="MedSegTrainerLib.networks.deeplab:DeepLabV3Plus", family="deeplab", dims=(2,), divisor=16,
        settings={"base_channels": 64, "aspp_rates": [6, 12, 18], **CONVOLUTIONAL},
        is_multi_scale=True, memory_row=1,  # Chen et al. 2018
    ),
    "TransUNet": Architecture(
        builder="MedSegTrainerLib.networks.transunet:TransUNet", family="transformer", dims=(2,), divisor=16,
        settings={"base_channels": 64, "embed_dim": 512, "num_heads": 8, "num_layers": 12, **CONVOLUTIONAL},
        has_img_size=True, is_fixed=True, memory_row=2,
    ),
    "UNETR": Architecture(
        builder="MedSegTrainerLib.networks.monai_networks:unetr", family="transformer", dims=(3,), divisor=16,
        settings={"embed_dim": 768, "num_heads": 12, "num_layers": 12, **CONVOLUTIONAL},
        has_img_size=True, is_fixed=True, memory_row=2,
    ),
    "SwinUNETR": Architecture(
        builder="MedSegTrainerLib.networks.monai_networks:swin_unetr", family="transformer", dims=(3,), divisor=32,
        settings={"embed_dim": 48, "window_size": 7, **CONVOLUTIONAL}, steps={"embed_dim": 12},
        has_img_size=True, is_fixed_traced=True, memory_row=2,  # its windows are counted when it is traced
    ),
}  # fmt: skip


def is_planned(architecture: str) -> bool:
    """Whether a network is planned around its patch. These learn with the same settings, measured for ``PLANNED``.

    In two minutes of the hippocampus on one core PlainConvUNet with 8 ``base_channels`` had a mean Dice of 0.44 on
    held-out cases with them, and 0.11 after more than twice the steps by the guide's rows.
    """
    return ARCHITECTURES[architecture].divisor is None
