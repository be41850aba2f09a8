"""The points of the curves, from events as they are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.events import Epoch, EventLog, Recovered, Resumed, Started, Validated
from MedSegTrainerLib.training.curve_points import CurvePoints

EPOCH = Epoch(epoch=1, epochs=9, step=10, train_loss=0.75, learning_rate=0.01, gradient_norm=2.5, seconds=1.0)
VALIDATED = Validated(
    epoch=1, minutes=0.5, mean_dice=0.4, dice={"liver": 0.4}, metrics={"val_loss": 0.9, "val_iou": None}
)


def test_a_point_an_epoch_with_what_is_known(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for event in (Started(job="j", host="h", pid=1, version="1"), EPOCH, VALIDATED, replace(EPOCH, epoch=2)):
        log(event)
    first, second = CurvePoints(log.path).read()
    assert first == {
        "epoch": 1, "train_loss": 0.75, "learning_rate": 0.01, "gradient_norm": 2.5, "minutes": 0.5,
        "mean_dice": 0.4, "dice": {"liver": 0.4}, "val_loss": 0.9, "val_iou": None,
    }  # fmt: skip
    assert second == {"epoch": 2, "train_loss": 0.75, "learning_rate": 0.01, "gradient_norm": 2.5}


def test_follows_a_growing_file(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    points = CurvePoints(log.path)
    assert points.read() == []
    log(EPOCH)
    assert [point["epoch"] for point in points.read()] == [1]
    log(replace(EPOCH, epoch=2))
    log(replace(VALIDATED, epoch=2))
    assert [point.get("minutes") for point in points.read()] == [None, 0.5]


def test_more_events_than_are_read_at_once(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for epoch in range(1, 2402):
        log(replace(EPOCH, epoch=epoch))
    assert CurvePoints(log.path).read()[-1]["epoch"] == 2401


def test_epochs_that_were_lost_are_left_out_and_come_again(tmp_path: Path) -> None:
    back = Recovered(epoch=1, step=10, learning_rate=1e-3, gradient_clip=1.0, attempt=1, message="")
    for returned in (Resumed(epoch=1, step=10), back):
        log = EventLog(tmp_path / f"{type(returned).__name__}.jsonl")
        for epoch in (1, 2, 3):
            log(replace(EPOCH, epoch=epoch, train_loss=float(epoch)))
        log(replace(VALIDATED, epoch=2))
        log(returned)
        log(replace(EPOCH, epoch=2, train_loss=0.5))
        points = CurvePoints(log.path).read()
        assert [(point["epoch"], point["train_loss"]) for point in points] == [(1, 1.0), (2, 0.5)]
        assert "minutes" not in points[1]


def test_a_loss_that_is_no_number_is_none(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log(replace(EPOCH, train_loss=float("nan")))
    assert CurvePoints(log.path).read()[0]["train_loss"] is None
