"""Events as lines of the log."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.event_lines import event_line, level_of
from MedSegTrainerLib.events import (
    KIND_OF,
    Advised,
    CaseDone,
    Epoch,
    EventLog,
    Failed,
    Finished,
    Found,
    Planned,
    Progress,
    Stage,
    Validated,
    Warned,
    log_event,
)


def record(event: Any) -> dict[str, Any]:
    return {"seq": 1, "time": 1.0, "kind": KIND_OF[type(event)], **asdict(event)}


@pytest.mark.parametrize(
    ("event", "line", "level"),
    [
        (Warned(message="Memory ran out."), "warned: Memory ran out.", logging.WARNING),
        (
            Failed(message="No.", error="DataError", exit_code=1),
            "failed: No. error=DataError exit_code=1", logging.ERROR,
        ),
        (Planned(choices={"dims": {"value": 3, "reason": "x"}}), "planned: choices=1", logging.INFO),
        (Progress(done=3, total=7), "progress: done=3 total=7", logging.DEBUG),
        (
            Epoch(
                epoch=1, epochs=9, step=4, train_loss=1 / 3, learning_rate=1e-4, gradient_norm=2.0, seconds=0.5
            ),
            "epoch: epoch=1 epochs=9 step=4 train_loss=0.333333 learning_rate=0.0001 gradient_norm=2 seconds=0.5",
            logging.INFO,
        ),
        (Advised(epoch=2, finding="good", message="Well."), "advised: Well. epoch=2 finding=good", logging.INFO),
        (
            Advised(epoch=2, finding="stalls", message="It stalls.", remedies=[{"setting": "x"}]),
            "advised: It stalls. epoch=2 finding=stalls", logging.WARNING,
        ),
    ],
)  # fmt: skip
def test_line_and_level(event: Any, line: str, level: int) -> None:
    assert (event_line(record(event)), level_of(record(event))) == (line, level)


def test_names_of_cases_stay_in_the_events() -> None:
    """A log is sent to strangers."""
    events = (
        CaseDone(name="Mueller", output="out/Mueller.nii.gz", seconds=1.0),
        Found(severity="error", finding="empty", message="The label map is empty.", remedy="Draw.", case="Mueller"),
        Validated(epoch=1, minutes=2.0, mean_dice=0.5, dice={"liver": 0.5}, per_case={"Mueller": {"liver": 0.5}}),
    )
    lines = [event_line(record(event)) for event in events]
    assert not any("Mueller" in line for line in lines)
    assert lines[0] == "case: seconds=1" and lines[2] == "validated: epoch=1 minutes=2 mean_dice=0.5"
    assert level_of(record(events[1])) == logging.ERROR
    assert level_of(record(CaseDone(name="a", error="a.nii is damaged."))) == logging.ERROR


def test_each_written_event_is_logged_with_the_time_a_stage_took(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "MedSegTrainerLib")
    events = EventLog(tmp_path / "events.jsonl")
    events(Stage(name="scan", message="Checking"))
    events(Stage(name="train", message="Training"))
    events(Finished(message="Done.", result="r"))
    log_event(Warned(message="of another rank"))
    lines = [entry.getMessage() for entry in caplog.records]
    assert [line.split(" took ")[0] for line in lines] == [
        "stage: Checking name=scan total=0", "stage scan", "stage: Training name=train total=0", "stage train",
        "finished: Done. result=r", "warned: of another rank",
    ]  # fmt: skip
    assert {entry.name for entry in caplog.records} == {"MedSegTrainerLib.events"}
    assert len((tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()) == 3
