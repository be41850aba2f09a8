"""How the planned network learns: loss, optimizer, rate, schedule, clip and average, as set or from the presets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from MedSegTrainerLib.config.architectures import is_planned
from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.settings import LossConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.guide import tables as presets
from MedSegTrainerLib.losses.segmentation_loss import balanced_weights
from MedSegTrainerLib.planning.step_memory import count_weights
from MedSegTrainerLib.training.lr_schedule import plateau_patience

Reasons = dict[str, str]
BY_HAND = "set by the configuration"
SCHEDULE_SETTINGS = {
    "constant": (),
    "step": ("step_size", "gamma"),
    "cosine": ("T_max", "eta_min"),
    "plateau": ("factor", "eta_min"),
    "polynomial": ("power",),
}


def learning_choices(
    fingerprint: Fingerprint,
    config: TrainConfig,
    architecture: str,
    network: dict[str, Any],
    dims: int,
    cases: int,
    reasons: Reasons,
) -> dict[str, Any]:
    """The fields of a plan that say how it learns; ``cases`` train. Writes why into ``reasons``."""
    optimizer, trainer = config.optimizer, config.trainer

    def take(name: str, given: Any, preset: tuple[Any, str]) -> Any:
        value, reasons[name] = preset if given == "auto" else (given, BY_HAND)
        return value

    kind = take("optimizer", optimizer.optimizer_type, presets.choose_optimizer(architecture, cases))
    size = _parameters(architecture, network) if optimizer.weight_decay == "auto" else 0
    decay = presets.choose_decay(architecture, kind, cases, size)
    averaged = trainer.ema_decay is not None
    schedule = take("lr_schedule", trainer.lr_schedule, presets.choose_schedule(architecture, kind, averaged=averaged))
    settings = schedule_settings(trainer, schedule)
    reasons["lr_schedule"] += f" ({settings})" if settings else ""
    rate = take("learning_rate", optimizer.learning_rate, presets.choose_rate(architecture, kind))
    if config.start.model and optimizer.learning_rate == "auto":
        rate *= config.start.rate_factor
        reasons["learning_rate"] = _start_rate_reason(config.start.rate_factor)
    if "eta_min" in SCHEDULE_SETTINGS[schedule] and trainer.eta_min > rate and trainer.eta_min != TrainerConfig.eta_min:
        raise ConfigError(
            [f"trainer.eta_min = {trainer.eta_min:g}: above the learning rate, which is {rate:g}. Make it smaller."]
        )
    return {
        "loss": _loss(fingerprint, config.loss, architecture, dims, reasons),
        "optimizer_type": kind,
        "learning_rate": rate,
        "weight_decay": take("weight_decay", optimizer.weight_decay, decay),
        "lr_schedule": schedule,
        "gradient_clip": take("gradient_clip", trainer.gradient_clip, presets.choose_clip(architecture)),
        "ema_decay": take("ema_decay", trainer.ema_decay, presets.choose_average(architecture)),
    }


def _start_rate_reason(factor: float) -> str:
    if factor != 1:
        return f"{factor:g} of that from nothing, set by the configuration"
    return (
        "that from nothing: with a half or a quarter of it a trained model learned new classes later, and forgot the "
        "others no less"
    )


def schedule_settings(trainer: TrainerConfig, schedule: str) -> str:
    """The text of the settings that the schedule goes by."""
    texts = [f"{name} {getattr(trainer, name)}" for name in SCHEDULE_SETTINGS[schedule]]
    if schedule == "plateau":
        texts.append(f"patience {plateau_patience(trainer)} epochs")
    return ", ".join(texts)


def _loss(fingerprint: Fingerprint, given: LossConfig, architecture: str, dims: int, reasons: Reasons) -> LossConfig:
    """The loss with its terms and class weights as numbers."""
    foreground = [fingerprint.voxel_share[item.name] for item in fingerprint.classes]
    background = fingerprint.background_share
    shares = [1 - sum(foreground) if background is None else background, *foreground]
    chosen, reasons["loss"] = given, BY_HAND
    if given.loss_type == "auto" and _has_weights(given):
        chosen = replace(given, loss_type="combined")
    elif given.loss_type == "auto":
        preset, reasons["loss"] = presets.choose_loss(architecture, shares, _smallest_object(fingerprint, dims), dims)
        chosen = replace(given, **preset)
    if chosen.class_weights == "auto":
        chosen = replace(chosen, class_weights=balanced_weights(shares))
        reasons["class_weights"] = "the rarer a class the more a voxel of it weighs, from the voxels of all cases"
    return chosen


def _has_weights(loss: LossConfig) -> bool:
    return any(getattr(loss, term.weight) is not None for term in LOSS_TERMS.values() if term.weight)


def _smallest_object(fingerprint: Fingerprint, dims: int) -> float:
    """Median size of the smallest class in a case: voxels, or in 2D the pixels of one of its slices."""
    spacing = np.median(fingerprint.spacings, axis=0)
    present = [volume for volume in fingerprint.median_volume_mm3.values() if volume > 0]
    voxels = min(present, default=np.inf) / float(np.prod(spacing))
    return voxels if dims == 3 or fingerprint.dims == 2 else voxels ** (2 / 3)


def _parameters(architecture: str, network: dict[str, Any]) -> int:
    if is_planned(architecture):
        return 0  # its weight decay does not follow from its size, and building it takes time
    return count_weights(architecture, network)
