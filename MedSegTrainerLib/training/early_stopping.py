"""Which logged metric says that a model is better, since when none was, and whether that ends a training."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, logged_metric, monitored_names
from MedSegTrainerLib.config.settings import TrainerConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean
from MedSegTrainerLib.training.checkpoint import TrainingState

DEFAULT_PATIENCE = 30  # guide, "Early Stopping"


class Monitor:
    """The metric of ``trainer.monitor``. Raises ConfigError for a metric that is not logged for these classes."""

    def __init__(self, trainer: TrainerConfig, class_names: Iterable[str]) -> None:
        self.name = trainer.monitor
        logged, metric = monitored_names(list(class_names)), logged_metric(self.name)
        if metric is None or self.name not in logged:
            near = did_you_mean(self.name, logged)
            raise ConfigError(
                [f"trainer.monitor = '{self.name}': is not logged.{near} Logged are: {', '.join(logged)}."]
            )
        smaller = metric.better == "lower"
        self.sign = -1.0 if trainer.monitor_mode == "min" or (trainer.monitor_mode == "auto" and smaller) else 1.0
        self.min_delta = trainer.min_delta

    def value(self, metrics: Mapping[str, float | None]) -> float | None:
        """The monitored number; None where it has no value in this epoch, as without validation cases,
        or is not finite."""
        value = metrics.get(self.name)
        return value if value is not None and math.isfinite(value) else None

    def why_unknown(self, val_classes: Collection[str], has_val_cases: bool) -> str | None:
        """The reason why the metric never has a value, or None. val_classes: those that validation cases have."""
        metric, name = LOGGED_METRICS[self.name.partition("/")[0]], self.name.partition("/")[2]
        if metric.of_epoch:
            return None
        if not has_val_cases:
            return "no case is held out"
        if name and name not in val_classes:
            return f"no held-out case has '{name}'"
        return "no held-out case has any class" if metric.of_class and not val_classes else None

    def is_better(self, value: float | None, best: float | None) -> bool:
        """Whether ``value`` beats ``best``; an unknown value beats nothing but an unknown best."""
        if best is None:
            return True
        return value is not None and self.sign * (value - best) > 0

    def is_improvement(self, value: float | None, best: float | None) -> bool:
        """Whether it beats it by ``trainer.min_delta``, which is what early stopping waits for."""
        if best is None:
            return value is not None
        return value is not None and self.sign * (value - best) > self.min_delta


def monitor_text(trainer: TrainerConfig, why: str) -> str:
    """What a training does whose monitored metric is never known; ``why``: of ``Monitor.why_unknown``."""
    stops = "Early stopping is ignored, and the" if trainer.early_stopping else "The"
    return (
        f"Nothing says which epoch is the best, as {why} (trainer.monitor = {trainer.monitor}). {stops} last weights "
        "are the model. To go by the training loss: --set monitor=train_loss."
    )


def stopping_patience(trainer: TrainerConfig) -> int:
    """Epochs without improvement after which early stopping ends a training."""
    return DEFAULT_PATIENCE if trainer.patience == "auto" else trainer.patience


def note_improvement(monitor: Monitor, value: float | None, state: TrainingState) -> None:
    """Writes the monitored metric of this epoch into the state where it is what early stopping waits for."""
    if monitor.is_improvement(value, state.improved):
        state.improved, state.improved_epoch = value, state.epoch


def is_stale(trainer: TrainerConfig, state: TrainingState) -> bool:
    """Whether early stopping ends a training: the monitored metric has not improved for too long. One that was never
    known, as without held-out cases, ends nothing."""
    has_waited = state.epoch - state.improved_epoch >= stopping_patience(trainer)
    return trainer.early_stopping and state.improved is not None and has_waited
