"""From fingerprint, configuration and device to a plan: every choice is made here, with its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.data.cache import choose_place
from MedSegTrainerLib.data.normalize import Normalization
from MedSegTrainerLib.data.splits import Split
from MedSegTrainerLib.device import describe
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.fingerprint import ChannelIntensities, Fingerprint
from MedSegTrainerLib.held_out import OVERLAP
from MedSegTrainerLib.plan import Plan
from MedSegTrainerLib.plan_schedule import fit_to_time
from MedSegTrainerLib.plan_shapes import (
    Topology,
    Triple,
    choose_patch,
    choose_spacing,
    median_size,
    network_parameters,
    patch_voxels,
    topology_for_patch,
)
from MedSegTrainerLib.sides import left_right_pair
from MedSegTrainerLib.sliding_window import window_starts

BATCH_VOXELS_CPU = 200_000
BATCH_VOXELS_GPU = 4_500_000
RARE_CLASS = 0.01  # share of voxels; guide: "severe imbalance" is beyond 1:100
EPOCH_SAMPLES = 100  # small data sets are seen several times in an epoch

Reasons = dict[str, str]


def make_plan(
    fingerprint: Fingerprint, config: TrainConfig, split: Split, device: torch.device, seconds_left: float | None
) -> Plan:
    """Resolves every ``auto``; measures steps on the device, so this takes seconds.

    ``seconds_left`` is what remains of the time budget, None without one.
    Raises ConfigError where settings contradict the data.
    """
    reasons: Reasons = {"device": describe(device), "split": split.reason}
    dims = _dims(fingerprint, config, reasons)
    spacing, patch, topology = _shapes(fingerprint, config, dims, device, reasons)
    size = median_size(fingerprint, spacing, 3)
    normalization = _normalization(fingerprint, config, reasons)
    batch = _batch_size(config, patch, device, reasons)
    samples = _samples_per_volume(config, len(split.train), reasons)
    bytes_needed = fingerprint.cases * int(np.prod(size)) * (4 * len(normalization) + 1)
    cache, reasons["cache"] = choose_place(bytes_needed, device)
    if config.data.cache != "auto":
        cache, reasons["cache"] = config.data.cache, "set by the configuration"
    deep = len(topology.strides) > 2 if config.network.deep_supervision == "auto" else config.network.deep_supervision
    base = 16 if config.network.base_channels == "auto" else config.network.base_channels
    plan = Plan(
        dims=dims,
        spacing=spacing,
        patch_size=patch,
        batch_size=batch,
        samples_per_volume=samples,
        normalization=normalization,
        channel_names=tuple(channel.name for channel in fingerprint.channels),
        classes=fingerprint.classes,
        flip_axes=_flip_axes(config, dims, fingerprint, reasons),
        architecture="PlannedUNet",
        network=network_parameters(topology, base, dims, len(normalization), len(fingerprint.classes) + 1, deep),
        cache=cache,
        steps_per_epoch=max(1, len(split.train) * samples // (batch * config.trainer.gradient_accumulation_steps)),
        reasons=reasons,
        **_training_choices(fingerprint, config, reasons),
        **_PLACEHOLDERS,
    )
    windows = len(split.val) * len(window_starts(size, patch, OVERLAP))
    return fit_to_time(
        plan, config, device, train_cases=len(split.train), validation_windows=windows, seconds_left=seconds_left
    )


_PLACEHOLDERS: dict[str, Any] = {  # settled by fit_to_time, which needs a plan to measure
    "mixed_precision": False, "channels_last": False, "epochs": 1, "warmup_epochs": 0.0, "validation_interval": 1,
}  # fmt: skip


def _dims(fingerprint: Fingerprint, config: TrainConfig, reasons: Reasons) -> int:
    dims = fingerprint.dims if config.network.dims == "auto" else config.network.dims
    if dims == 3 and fingerprint.dims == 2:
        raise ConfigError(["network.dims = 3: the images have one slice, and a 3D network needs volumes. Use 2."])
    told = "the images have one slice" if fingerprint.dims == 2 else "the images are volumes"
    reasons["dims"] = told if config.network.dims == "auto" else "set by the configuration"
    return dims


def _shapes(
    fingerprint: Fingerprint, config: TrainConfig, dims: int, device: torch.device, reasons: Reasons
) -> tuple[tuple[float, float, float], Triple, Topology]:
    voxels = patch_voxels(dims, device)
    if config.data.spacing == "auto":
        spacing, reasons["spacing"] = choose_spacing(fingerprint, dims, voxels)
    else:
        z, y, x = config.data.spacing
        spacing, reasons["spacing"] = (z, y, x), "set by the configuration"
    size = median_size(fingerprint, spacing, dims)
    if config.data.patch_size == "auto":
        patch, topology = choose_patch(size, spacing, dims, voxels)
        whole = all(p >= s for p, s in zip(patch, size, strict=True))
        sees = "covers the median volume" if whole else f"as much of the median volume {size} as fits"
        reasons["patch_size"] = f"{sees}, at most {voxels} voxels on this device"
        return spacing, patch, topology
    first, second, third = config.data.patch_size
    patch = (1 if dims == 2 else first, second, third)
    reasons["patch_size"] = "set by the configuration"
    return spacing, patch, topology_for_patch(patch, spacing, dims)


def _normalization(fingerprint: Fingerprint, config: TrainConfig, reasons: Reasons) -> tuple[Normalization, ...]:
    if not config.data.normalize:
        reasons["normalization"] = "switched off by the configuration"
        return tuple(Normalization(method="none") for _ in fingerprint.channels)
    wanted = config.data.normalization_type
    told = []
    chosen = []
    for channel in fingerprint.channels:
        if wanted == "ct" or (wanted == "auto" and channel.is_ct):
            chosen.append(_ct(channel))
            low, high = channel.percentile_00_5, channel.percentile_99_5
            told.append(f"{channel.name}: CT, clipped to {low:.0f}..{high:.0f} (0.5-99.5 % of the labelled voxels)")
        else:
            method = "zscore" if wanted == "auto" else wanted
            chosen.append(Normalization(method=method))
            told.append(f"{channel.name}: {method}, as intensities have no fixed scale")
    reasons["normalization"] = "; ".join(told)
    return tuple(chosen)


def _ct(channel: ChannelIntensities) -> Normalization:
    return Normalization(
        method="ct", low=channel.percentile_00_5, high=channel.percentile_99_5, mean=channel.mean, std=channel.std
    )


def _batch_size(config: TrainConfig, patch: Triple, device: torch.device, reasons: Reasons) -> int:
    if config.data.batch_size != "auto":
        reasons["batch_size"] = "set by the configuration"
        return config.data.batch_size
    voxels = BATCH_VOXELS_GPU if device.type == "cuda" else BATCH_VOXELS_CPU
    batch = int(min(16, max(2, voxels // np.prod(patch))))
    reasons["batch_size"] = f"patches of {np.prod(patch)} voxels on {device.type}; instance norm needs no more"
    return batch


def _samples_per_volume(config: TrainConfig, cases: int, reasons: Reasons) -> int:
    if config.data.samples_per_volume != "auto":
        reasons["samples_per_volume"] = "set by the configuration"
        return config.data.samples_per_volume
    samples = max(1, -(-EPOCH_SAMPLES // cases))
    reasons["samples_per_volume"] = f"{cases} cases make an epoch of about {max(EPOCH_SAMPLES, cases)} patches"
    return samples


def _flip_axes(config: TrainConfig, dims: int, fingerprint: Fingerprint, reasons: Reasons) -> tuple[int, ...]:
    letters = {"z": 0, "y": 1, "x": 2}
    if config.data.flip_axes != "auto":
        reasons["flip_axes"] = "set by the configuration"
        axes = sorted({letters[name] for name in config.data.flip_axes})
        return tuple(axis for axis in axes if dims == 3 or axis > 0)
    if fingerprint.dims == 2:
        reasons["flip_axes"] = "2D images have no top or left side"
        return (1, 2)
    pair = left_right_pair(item.name for item in fingerprint.classes)
    if pair:
        reasons["flip_axes"] = f"none: mirroring would turn '{pair[0]}' into '{pair[1]}'"
        return ()
    reasons["flip_axes"] = "anatomy is alike left and right, and never upside down or back to front"
    return (2,)


def _training_choices(fingerprint: Fingerprint, config: TrainConfig, reasons: Reasons) -> dict[str, Any]:
    """Loss, optimizer, rate, schedule, clip and average; the guide's selection tables, row U-Net."""
    optimizer, trainer = config.optimizer, config.trainer
    kind = "AdamW" if optimizer.optimizer_type == "auto" else optimizer.optimizer_type
    if optimizer.optimizer_type == "auto":
        reasons["optimizer"] = "guide: Adam for U-Nets; with decoupled weight decay (AdamW) it generalises better"
    rate = optimizer.learning_rate
    if rate == "auto":
        rate = 1e-2 if kind == "SGD" else 2e-3
        reasons["learning_rate"] = (
            "guide: 1e-2 for SGD" if kind == "SGD"
            else "peak of a rise and fall; instance norm stands it, and a short training needs it "
            "(the guide's 1e-4 is for a constant rate over 100-200 epochs)"
        )  # fmt: skip
    decay = optimizer.weight_decay
    if decay == "auto":
        decay = {"Adam": 1e-5, "AdamW": 1e-2, "SGD": 1e-4}[kind]
        reasons["weight_decay"] = f"usual for {kind}"
    schedule = trainer.lr_schedule
    if schedule == "auto":
        schedule = "polynomial" if kind == "SGD" else "cosine"
        reasons["lr_schedule"] = "falls to nearly zero at the end of the training"
    return {
        "loss": _loss(fingerprint, config, reasons),
        "optimizer_type": kind,
        "learning_rate": rate,
        "weight_decay": decay,
        "lr_schedule": schedule,
        "gradient_clip": 12.0 if trainer.gradient_clip == "auto" else trainer.gradient_clip,
        "ema_decay": 0.999 if trainer.ema_decay == "auto" else trainer.ema_decay,
    }


def _loss(fingerprint: Fingerprint, config: TrainConfig, reasons: Reasons) -> Any:
    if config.loss.loss_type != "auto":
        reasons["loss"] = "set by the configuration"
        return config.loss
    rarest = min(fingerprint.voxel_share.values())
    word = "severe" if rarest < RARE_CLASS else "moderate"
    reasons["loss"] = (
        f"guide: Dice + cross-entropy for general medical imaging; {word} imbalance "
        f"(the rarest class has {100 * rarest:.2g} % of the voxels), which the Dice term stands"
    )
    return replace(config.loss, loss_type="combined")
