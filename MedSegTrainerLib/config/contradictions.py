"""Settings that contradict each other: a line for each, with its path; of the kinds of jobs that the library has.

A configuration class names its function in ``CHECK``; ``parsing.py`` calls it.
"""

from __future__ import annotations

from pathlib import Path

from MedSegTrainerLib.config.job_settings import ApplyConfig, CrossValidateConfig, FindRateConfig, SuggestConfig
from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.network_settings import network_problems
from MedSegTrainerLib.config.parsing import shortened
from MedSegTrainerLib.config.settings import Auto, DataConfig, LossConfig, StartConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.errors import UsageError

MOST_RATES = 16  # branches of a DeepLabV3Plus


def training_contradictions(config: TrainConfig) -> list[str]:
    loss, trainer = config.loss, config.trainer
    problems = [
        *_division_problems(config.data),
        *_start_problems(config.start),
        *_loss_problems(loss),
        *_folder_problems(trainer.checkpoint_dir),
        *_data_problems(config.data),
        *network_problems(config),
    ]
    if len(config.optimizer.betas) != 2:
        problems.append(f"optimizer.betas = {shortened(config.optimizer.betas)}: give two numbers.")
    rates = config.network.aspp_rates
    if rates != "auto" and not 1 <= len(rates) <= MOST_RATES:
        problems.append(f"network.aspp_rates = {shortened(rates)}: give 1 to {MOST_RATES} numbers.")
    problems += _schedule_problems(config)
    if trainer.budget is not None:
        try:
            parse_duration(trainer.budget)
        except UsageError as error:
            problems.append(f"trainer.budget = {trainer.budget!r}: {error}")
    return problems


def _division_problems(data: DataConfig) -> list[str]:
    problems = []
    if data.fold is not None and data.fold >= data.folds and data.split_file is None:
        problems.append(f"data.fold = {data.fold}: with {data.folds} folds it is 0 to {data.folds - 1}.")
    shares = [share for share in (data.train_split, data.val_split, data.test_split) if share != "auto"]
    total = sum(shares)
    if data.fold is None and data.split_file is None and total > 1 + 1e-6:
        problems.append(f"data.train_split + val_split + test_split = {total:g}: must not exceed 1.")
    return problems


def _data_problems(data: DataConfig) -> list[str]:
    problems = []
    if data.ignore_label == 0:
        problems.append("data.ignore_label = 0: 0 is background. Give voxels that nobody labelled another value.")
    if data.cache_dir and ("\0" in data.cache_dir or not Path(data.cache_dir).is_absolute()):
        problems.append(f"data.cache_dir = {shortened(data.cache_dir)}: give the whole path of the folder.")
    for name, length in (("spacing", 3), ("patch_size", 3)):
        value = getattr(data, name)
        if value != "auto" and len(value) != length:
            problems.append(f"data.{name} = {shortened(value)}: give three positive numbers (z, y, x).")
    return problems


def _start_problems(start: StartConfig) -> list[str]:
    """Names of classes in another form, and what is asked of a model that nobody named."""
    problems = [
        f"start.rename '{shortened(entry)}': write it as 'old=new', with the names of two classes."
        for entry in start.rename
        if not all(name.strip() for name in (entry.partition("=")[0], entry.partition("=")[2]))
    ]
    if not start.model:
        problems += [
            f"start.{name}: there is no model that it could be done to. Name it: --start-from MODEL."
            for name in ("rename", "adapt")
            if getattr(start, name)
        ]
    return problems


def _schedule_problems(config: TrainConfig) -> list[str]:
    rate, trainer = config.optimizer.learning_rate, config.trainer
    problems = []
    uses_eta_min = trainer.lr_schedule in ("cosine", "plateau") or trainer.eta_min != TrainerConfig.eta_min
    if rate != "auto" and trainer.eta_min > rate and uses_eta_min:
        problems.append(
            f"trainer.eta_min = {trainer.eta_min:g} and optimizer.learning_rate = {rate:g}: the smallest rate is above "
            "the largest. Make it smaller."
        )
    epochs, warmup = trainer.epochs, trainer.warmup_epochs
    if epochs != "auto" and warmup != "auto" and warmup > epochs:
        problems.append(
            f"trainer.warmup_epochs = {warmup:g} and epochs = {epochs}: the rate would never "
            "reach its full height. Make the warm-up shorter."
        )
    return problems


def _device_problems(path: str, device: str, devices: int | Auto) -> list[str]:
    if ":" not in device or devices in (1, "auto"):
        return []
    return [f"{path} = '{device}' and devices = {devices}: that is a single one. Use 'auto' or 'cuda' for several."]


def fold_contradictions(config: CrossValidateConfig) -> list[str]:
    trainer, devices = config.train.trainer, config.devices
    problems = _device_problems("train.trainer.device", trainer.device, devices)
    if trainer.devices > 1 and devices != 1:
        problems.append(
            f"train.trainer.devices = {trainer.devices} and devices = {devices}: either several devices train each "
            "fold, or each trains a fold of its own. Leave one of them at 1."
        )
    return problems


def _folder_problems(name: str) -> list[str]:
    folder = Path(name)
    if folder.is_absolute() or ".." not in folder.parts:
        return []
    return [f"trainer.checkpoint_dir = {name}: leads out of the job folder. Give a folder in it, or an absolute path."]


def _loss_problems(loss: LossConfig) -> list[str]:
    problems = []
    weights = loss.weights()
    if not weights:
        problems.append("loss: every weight of 'combined' is 0, so nothing would be learned. Give one of them.")
    weighted_terms = {term: LOSS_TERMS[term].class_weights for term in weights if LOSS_TERMS[term].class_weights}
    for term, name in weighted_terms.items():
        value = getattr(loss, name)
        values = value if isinstance(value, list) else [value]
        if values and all(number == 0 for number in values):
            problems.append(f"loss.{name} = {shortened(value)}: all are 0, so the {term} term would learn nothing.")
    return problems


def rate_contradictions(config: FindRateConfig) -> list[str]:
    if config.lowest < config.highest:
        return []
    return [f"lowest = {config.lowest:g} and highest = {config.highest:g}: the lowest must be below the highest."]


def apply_contradictions(config: ApplyConfig) -> list[str]:
    """A single device, and several asked for."""
    return _device_problems("device", config.device, config.devices)


def suggest_contradictions(config: SuggestConfig) -> list[str]:
    """Slices of an image drawn along another axis than the one that is asked for."""
    return [
        f"slice_axis = '{config.slice_axis}' and drawn.{name}.axis = '{drawn.axis}': the slices of an image must be "
        "drawn along one axis. Leave slice_axis at 'auto', or finish that image first."
        for name, drawn in config.drawn.items()
        if drawn.slices and config.slice_axis not in ("auto", drawn.axis)
    ]
