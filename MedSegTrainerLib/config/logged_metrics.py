"""The metrics that are logged while training: one list for validation, monitor, TensorBoard, curves and their points.

Standard library only, for those who look on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Table = Sequence[Sequence[int]]  # voxels of a case by class of the reference (rows) and of the prediction (columns)
MEAN_DICE = "val_dice"  # which events and points have as mean_dice, too


@dataclass(frozen=True, kw_only=True)
class LoggedMetric:
    """A number that is logged after an epoch or a validation.

    better: which direction is; '' where neither is, and it cannot be monitored. tag: its name in TensorBoard.
    of_epoch: whether an epoch has it, not a validation. of_class: the key in ``metrics.METRICS`` of a metric of voxel
    counts, which is logged for each class and as their mean. of_cases: what works it out from the tables of all
    held-out cases. absent_counts: whether a class that no case has gets a value, which says that it was found.

    chart: the title of its panel in ``curves.png``, '' where it has none. is_share: whether the panel reaches from 0 to
    1. log_from: the panel is logarithmic where the largest value is more than so many times the smallest.
    """

    better: Literal["higher", "lower", ""]
    tag: str
    of_epoch: bool = False
    of_class: str = ""
    of_cases: Callable[[Sequence[Table]], float | None] | None = None
    absent_counts: bool = False
    chart: str = ""
    is_share: bool = False
    log_from: float | None = None


def accuracy(tables: Sequence[Table]) -> float | None:
    """The share of voxels that are right, mean over the cases that have any that count."""
    shares = [
        sum(row[index] for index, row in enumerate(table)) / voxels for table in tables if (voxels := _total(table))
    ]
    return sum(shares) / len(shares) if shares else None


def foreground_ratio(tables: Sequence[Table]) -> float | None:
    """Predicted foreground voxels for each one of the references, of all cases together."""
    reference = sum(_total(table[1:]) for table in tables)
    return sum(sum(row[1:]) for table in tables for row in table) / reference if reference else None


def _total(rows: Table) -> int:
    return sum(map(sum, rows))


LOGGED_METRICS: dict[str, LoggedMetric] = {
    MEAN_DICE: LoggedMetric(better="higher", tag="dice", of_class="dice"),
    "val_iou": LoggedMetric(better="higher", tag="iou", of_class="iou", chart="Validation IoU (mean)", is_share=True),
    "val_precision": LoggedMetric(better="higher", tag="precision", of_class="precision", absent_counts=True),
    "val_recall": LoggedMetric(better="higher", tag="recall", of_class="recall"),
    "val_loss": LoggedMetric(better="lower", tag="loss/validation"),
    "val_accuracy": LoggedMetric(better="higher", tag="accuracy", of_cases=accuracy),
    "val_foreground": LoggedMetric(better="", tag="foreground/ratio", of_cases=foreground_ratio),
    "train_loss": LoggedMetric(better="lower", tag="loss/train", of_epoch=True),
    "learning_rate": LoggedMetric(
        better="lower", tag="learning_rate", of_epoch=True, chart="Learning rate", log_from=10
    ),
    "gradient_norm": LoggedMetric(
        better="lower", tag="gradient_norm", of_epoch=True, chart="Gradient norm (before clipping)", log_from=50
    ),
}


def monitored_names(class_names: Sequence[str]) -> list[str]:
    """Every name that ``trainer.monitor`` can have: the metrics, then those of each class."""
    directed = {name: metric for name, metric in LOGGED_METRICS.items() if metric.better}
    by_class = [name for name, metric in directed.items() if metric.of_class]
    return [*directed, *(f"{name}/{item}" for item in class_names for name in by_class)]


def logged_metric(name: str) -> LoggedMetric | None:
    """The metric of a name, which may be that of a class (val_dice/NAME); None for names that are not in the list."""
    return LOGGED_METRICS.get(name.partition("/")[0])
