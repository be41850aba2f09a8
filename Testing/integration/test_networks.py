"""Every network in a whole job: planned for volumes, trained, and applied to a file, whose grid the label map has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import apply
from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.config.settings import NetworkConfig, TrainConfig
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package

TOKENS = ("embed_dim=24", "num_heads=2", "num_layers=2")
NETWORKS: dict[str, tuple[str, ...]] = {
    "PlannedUNet, slices with neighbours": ("network.type=auto", "neighbour_slices=1"),
    "UNet2D, slices with neighbours": ("network.type=UNet2D", "base_channels=4", "neighbour_slices=2"),
    "PlainConvUNet": ("network.type=PlainConvUNet", "base_channels=4"),
    "ResEncUNet, slices along x": ("network.type=ResEncUNet", "base_channels=4", "dims=2", "slice_axis=x"),
    "UNet3D": ("network.type=UNet3D", "base_channels=4"),
    "VNet": ("network.type=VNet", "base_channels=4"),
    "SegResNet": ("network.type=SegResNet", "init_filters=4", "dimension=3d"),
    "SegResNet in 2D": ("network.type=SegResNet", "init_filters=4", "dimension=2d"),
    "SegResNetDS": ("network.type=SegResNetDS", "init_filters=4"),
    "DeepLabV3Plus": ("network.type=DeepLabV3Plus", "base_channels=8", "num_classes=3"),
    "TransUNet": ("network.type=TransUNet", "base_channels=8", "image_size=40", *TOKENS),
    "UNETR": ("network.type=UNETR", "img_size=32", *TOKENS),
    "SwinUNETR": ("network.type=SwinUNETR", "embed_dim=12", "window_size=2", "patch_size=[32,32,64]"),
}
NETWORKS |= {  # one that was added: with its own defaults
    added: (f"network.type={added}",)
    for added in ARCHITECTURES.keys() - {PLANNED, *(name.split()[0].rstrip(",") for name in NETWORKS)}
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "SwinUNETR" else []) for name in NETWORKS]
)
def test_from_volumes_to_a_label_map(
    config_for: Callable[..., TrainConfig], dataset: Path, tmp_path: Path, name: str
) -> None:
    folder = JobFolder(tmp_path / "job")
    settings = ("base_channels=auto", "patch_size=auto", "epochs=1", "samples_per_volume=2", *NETWORKS[name])
    folder.create(config_for(*settings))
    run_job(folder.path)
    plan = load_package(folder.model).plan
    assert plan.architecture == name.split()[0].rstrip(",")
    assert (plan.dims == 2) == (plan.patch_size[0] == 1)
    case = dataset / "images" / "case_0.nii.gz"
    (output,) = apply(folder.path, [case], tmp_path / "out", device="cpu")
    image, found = sitk.ReadImage(str(case)), sitk.ReadImage(str(output))
    assert Geometry.of(found).disagreements(Geometry.of(image)) == []
    assert set(np.unique(sitk.GetArrayFromImage(found))) <= {0, 2, 5}
    assert len(list((folder.report / "predictions").iterdir())) == 2


def test_each_network_can_be_asked_for() -> None:
    assert set(get_args(get_type_hints(NetworkConfig)["type"])) == {"auto", *ARCHITECTURES}
