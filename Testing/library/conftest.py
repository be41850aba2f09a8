"""Small values that several tests of training need."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.architectures import ARCHITECTURES, NNUNET
from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

sys.path.append(str(Path(__file__).resolve().parent))  # what several files share lies beside them
FEW = {"base_channels": 8, "init_filters": 4, "embed_dim": 24, "num_heads": 2, "num_layers": 2}
FEW_LEVELS: dict[str, Any] = {
    "dims": 3, "features": [4, 8], "strides": [[1, 1, 1], [1, 2, 2]], "kernels": [[3, 3, 3]] * 2, "blocks": [1, 2],
    "decoder_blocks": [1], "deep_supervision": True,
}  # fmt: skip


@pytest.fixture(scope="session")
def small_parameters() -> Callable[[str], dict[str, Any]]:
    """Parameters of a registered network, but the planned one, with few feature maps."""

    def make(name: str) -> dict[str, Any]:
        if name in NNUNET:
            return {"in_channels": 2, "out_channels": 3, **FEW_LEVELS}
        architecture = ARCHITECTURES[name]
        dims, edge = architecture.dims[-1], 2 * (architecture.divisor or 1)
        return {
            "in_channels": 2, "out_channels": 3,
            **{setting: FEW.get(setting, value) for setting, value in architecture.settings.items()},
            **({"dims": dims} if len(architecture.dims) > 1 else {}),
            **({"img_size": [edge] * dims} if architecture.is_fixed else {}),
        }  # fmt: skip

    return make


@pytest.fixture
def cpu() -> torch.device:
    return torch.device("cpu")


@pytest.fixture
def tiny_plan() -> Plan:
    """A 3D plan for anisotropic volumes with two classes, whose network trains in milliseconds."""
    return Plan(
        dims=3,
        spacing=(2.5, 1.1, 0.8),
        image_size=None,
        patch_size=(4, 8, 12),
        divisor=(1, 2, 2),
        batch_size=2,
        samples_per_volume=3,
        normalization=(Normalization(method="zscore"),),
        channel_names=("MR",),
        classes=(
            LabelClass(value=3, name="kidney", color=(200, 80, 60)),
            LabelClass(value=7, name="cyst", color=(60, 80, 200)),
        ),
        ignore_label=None,
        flip_axes=(2,),
        architecture="PlannedUNet",
        network={
            "dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            "features": [4, 6],
            "strides": [[1, 1, 1], [1, 2, 2]],
            "kernels": [[1, 3, 3], [3, 3, 3]],
            "blocks": [1, 1],
            "deep_supervision": False,
        },
        loss=LossConfig(loss_type="combined"),
        optimizer_type="AdamW",
        learning_rate=1e-2,
        weight_decay=1e-2,
        lr_schedule="cosine",
        warmup_epochs=1.0,
        gradient_clip=12.0,
        ema_decay=0.999,
        mixed_precision=False,
        channels_last=False,
        steps_per_epoch=2,
        epochs=3,
        validation_interval=1,
        cache="memory",
        reasons={"spacing": "median spacing of the cases"},
    )


@pytest.fixture
def package(tiny_plan: Plan) -> ModelPackage:
    """A model of the tiny plan that was never trained."""
    torch.manual_seed(2)
    return ModelPackage(plan=tiny_plan, weights=build_network(tiny_plan.architecture, tiny_plan.network).state_dict())
