"""What a whole training job leaves in its folder is what the published JSON schemas promise."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.json_schema import events_schema, job_schema, status_schema


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


def test_job_and_status(trained: JobFolder) -> None:
    assert problems(job_schema(), json.loads(trained.job_file.read_text(encoding="utf-8"))) == []
    assert problems(status_schema(), json.loads(trained.status_file.read_text(encoding="utf-8"))) == []


def test_events(trained: JobFolder) -> None:
    events = EventReader(trained.events_file).read(limit=10**6)
    assert {"started", "stage", "planned", "epoch", "validated", "best", "measured", "finished"} <= {
        event["kind"] for event in events
    }
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    schema = events_schema()
    assert [(event["kind"], problems(schema, event)) for event in events if problems(schema, event)] == []
