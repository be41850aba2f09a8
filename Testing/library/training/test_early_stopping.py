"""Which metric decides, and which way."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.config.settings import TrainerConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.training.checkpoint import TrainingState
from MedSegTrainerLib.training.early_stopping import (
    Monitor,
    is_stale,
    monitor_text,
    note_improvement,
    stopping_patience,
)

NAN = float("nan")


def monitor(name: str, mode: str = "auto", min_delta: float = 0.01) -> Monitor:
    return Monitor(TrainerConfig(monitor=name, monitor_mode=mode, min_delta=min_delta), ["liver", "cyst"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "mode", "better", "worse"),
    [
        ("val_dice", "auto", 0.8, 0.7), ("val_loss", "auto", 0.2, 0.3), ("train_loss", "auto", 0.2, 0.3),
        ("val_dice/cyst", "auto", 0.8, 0.7), ("val_iou", "min", 0.1, 0.2), ("val_loss", "max", 0.3, 0.2),
    ],
)  # fmt: skip
def test_which_way_is_better(name: str, mode: str, better: float, worse: float) -> None:
    one = monitor(name, mode)
    assert one.is_better(better, worse) and not one.is_better(worse, better) and not one.is_better(worse, worse)
    assert one.is_improvement(better, worse) and not one.is_improvement(worse, better)


def test_a_small_change_is_better_but_no_improvement() -> None:
    one = monitor("val_dice", min_delta=0.01)
    assert one.is_better(0.805, 0.8) and not one.is_improvement(0.805, 0.8)
    assert one.is_improvement(0.811, 0.8)


def test_the_value_is_looked_up_by_its_name() -> None:
    assert monitor("val_dice/cyst").value({"val_dice": 0.9, "val_dice/cyst": 0.4}) == 0.4


@pytest.mark.parametrize("unknown", [None, NAN, float("inf")])
def test_what_is_not_known_beats_nothing_and_is_beaten(unknown: float | None) -> None:
    one = monitor("val_dice")
    value = one.value({"val_dice": unknown})
    assert value is None and one.value({}) is None
    assert not one.is_better(value, 0.1) and not one.is_improvement(value, None)
    assert one.is_better(0.1, value) and one.is_improvement(0.1, value)


@pytest.mark.parametrize(
    ("name", "message"),
    [("val_dise", "Did you mean 'val_dice'"), ("val_dice/lever", "Did you mean 'val_dice/liver'"), ("x", "Known: ")],
)
def test_a_metric_that_is_not_logged(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        monitor(name)


def test_patience_is_the_guides_unless_given() -> None:
    assert stopping_patience(TrainerConfig()) == 30
    assert stopping_patience(TrainerConfig(patience=7)) == 7


def test_what_does_not_improve_is_stale() -> None:
    trainer, state = TrainerConfig(early_stopping=True, patience=3, min_delta=0.01), TrainingState(total_steps=100)
    one, ends = Monitor(trainer, []), []
    for state.epoch, dice in enumerate((None, 0.5, 0.6, 0.605, 0.59, None, 0.7), start=1):
        note_improvement(one, dice, state)
        ends.append(is_stale(trainer, state))
    assert (state.improved, state.improved_epoch) == (0.7, 7)
    assert ends == [False, False, False, False, False, True, False]
    state.epoch = 10
    assert is_stale(trainer, state) and not is_stale(TrainerConfig(patience=3), state)


def test_what_was_never_known_is_not_stale() -> None:
    trainer = TrainerConfig(early_stopping=True, patience=3)
    assert not is_stale(trainer, TrainingState(total_steps=100, epoch=99))


@pytest.mark.parametrize(
    ("name", "val_classes", "has_val_cases", "why"),
    [
        ("val_dice", {"liver"}, True, None), ("val_dice/liver", {"liver"}, True, None),
        ("val_loss", set(), True, None), ("train_loss", set(), False, None),
        ("val_dice", set(), False, "no case is held out"), ("val_loss", set(), False, "no case is held out"),
        ("val_dice/cyst", {"liver"}, True, "no held-out case has 'cyst'"),
        ("val_iou", set(), True, "no held-out case has any class"),
    ],
)  # fmt: skip
def test_why_it_is_never_known(name: str, val_classes: set[str], has_val_cases: bool, why: str | None) -> None:
    assert monitor(name).why_unknown(val_classes, has_val_cases) == why


def test_early_stopping_that_cannot_work_is_told() -> None:
    text = monitor_text(TrainerConfig(early_stopping=True), "no case is held out")
    assert "no case is held out (trainer.monitor = val_dice). Early stopping is ignored" in text
    assert "Early stopping" not in monitor_text(TrainerConfig(), "no case is held out")
