"""A training step: ours against plain PyTorch with the same U-Net, and against MONAI's U-Net and loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.material import Material
from benchmarks.plain_unet import PlainUNet, plain_loss
from benchmarks.timing import Comparison, Side
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.training.learner import Learner

MONAI_LEVELS = 3  # DynUNet refuses fewer


def comparisons(material: Material) -> Iterator[Comparison]:
    plan, device = material.plan, material.device
    images, labels = material.batch(plan.patch_size, np.random.default_rng(0))
    labels = labels.clamp(min=0)  # what lies outside the volume is background: plain code has no label to ignore
    batch = (images, labels)
    ours = _ours(material, batch)
    work = f"training step, batch {plan.batch_size} of {_shape(plan.patch_size)}, {len(plan.classes) + 1} classes"
    plain = PlainUNet(plan.network).to(device)
    name = (
        f"plain fp32 PyTorch: the same U-Net ({_gflop(plain, images)}) from nn.Conv3d, nn.InstanceNorm3d, "
        "nn.LeakyReLU; AdamW as it stands; no clipping, no average"
    )
    yield Comparison(
        name="train", work=work, ours=ours, theirs=Side(name=name, run=_their_step(plain, plain_loss, batch))
    )
    if len(plan.network["features"]) < MONAI_LEVELS:
        return
    monai = _dynunet(plan).to(device)
    name = (
        f"MONAI DynUNet fp32 ({_gflop(monai, images)}), as many levels and features as ours (its decoder has two "
        "convolutions a level, ours one), DiceCELoss, AdamW as it stands"
    )
    yield Comparison(
        name="train-monai", work=work, ours=ours, theirs=Side(name=name, run=_their_step(monai, _monai_loss(), batch))
    )


def _ours(material: Material, batch: Batch) -> Side:
    plan = material.plan
    learner = Learner(plan, material.config, material.device)
    arithmetic = str(learner.precision.dtype).removeprefix("torch.") if learner.precision.enabled else "float32"
    name = (
        f"MedSegTrainer: {plan.architecture} {plan.network['features']} ({_gflop(learner.network, batch[0])}), "
        f"{arithmetic}{', channels-last' if plan.channels_last else ''}, fused {plan.optimizer_type}, "
        "clipping, average of weights"
    )
    return Side(name=name, run=lambda: learner.step([batch], 1, 1e-4))


def _their_step(
    network: nn.Module, loss: Callable[[Any, torch.Tensor], torch.Tensor], batch: Batch
) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    images, labels = batch[0], batch[1].long()
    network.train()

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(network(images), labels)
        value.backward()
        optimizer.step()
        return value

    return step


def _dynunet(plan: Plan) -> nn.Module:
    parameters = plan.network
    extra_heads = len(parameters["features"]) - 3 if parameters["deep_supervision"] else 0
    return DynUNet(
        spatial_dims=3,
        in_channels=parameters["in_channels"],
        out_channels=parameters["out_channels"],
        kernel_size=parameters["kernels"],
        strides=parameters["strides"],
        upsample_kernel_size=parameters["strides"][1:],
        filters=parameters["features"],
        deep_supervision=extra_heads > 0,
        deep_supr_num=max(1, extra_heads),
        res_block=True,
    )


def _monai_loss() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """As in MONAI's DynUNet tutorial: the sum over the resolutions, each enlarged to the full one."""
    single = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        levels = torch.unbind(logits, dim=1) if logits.ndim == 6 else (logits,)
        terms = [0.5**i * single(level, labels[:, None]) for i, level in enumerate(levels)]
        return torch.stack(terms).sum()

    return loss


@torch.no_grad()
def _gflop(network: nn.Module, images: torch.Tensor) -> str:
    """Arithmetic of one patch forwards, so that a reader sees how alike two networks are."""
    with FlopCounterMode(display=False) as counter:
        network(images[:1])
    return f"{counter.get_total_flops() / 1e9:.3g} GFLOP a patch"


def _shape(size: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in size)
