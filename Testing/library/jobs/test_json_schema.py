"""The JSON schemas are those of the code, and what the program really writes fits them."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.job_settings import (
    ApplyConfig,
    DrawnSlices,
    EvaluateConfig,
    FindRateConfig,
    SuggestConfig,
    job_document,
)
from MedSegTrainerLib.config.settings import JobConfig, OptimizerConfig, TrainConfig
from MedSegTrainerLib.events import EVENT_KINDS, Epoch, EventLog, EventReader, Failed, Planned, Started, Validated
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerLib.job_status import Status
from MedSegTrainerLib.jobs.json_schema import events_schema, job_schema, schemas, status_schema
from MedSegTrainerLib.jobs.kinds import settings_of_kinds
from MedSegTrainerLib.jobs.run import run_job

RESOURCES = Path(__file__).resolve().parents[3] / "Resources"


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.mark.parametrize("name", sorted(schemas()))
class TestFiles:
    def test_is_current(self, name: str) -> None:
        written = json.loads((RESOURCES / name).read_text(encoding="utf-8"))
        assert written == schemas()[name], f"{name} is out of date: run scripts/schema.py"

    def test_is_a_valid_schema(self, name: str) -> None:
        Draft202012Validator.check_schema(schemas()[name])


class TestJob:
    @pytest.mark.parametrize(
        "config",
        [
            TrainConfig(),
            TrainConfig(optimizer=OptimizerConfig(learning_rate=0.01, betas=[0.8, 0.9])),
            FindRateConfig(train=TrainConfig(optimizer=OptimizerConfig(eps=1e-6)), steps=50),
            ApplyConfig(model="m", inputs=["a.nii.gz"], output_dir="out"),
            EvaluateConfig(predictions="p", labels="l", output_dir="out"),
            SuggestConfig(model="m", inputs=["a.nii.gz"], drawn={"a": DrawnSlices(axis="z", slices=[1])}),
        ],
        ids=["train", "train with values", "find-lr", "apply", "evaluate", "suggest"],
    )
    def test_what_is_written_fits(self, config: JobConfig, tmp_path: Path) -> None:
        folder = JobFolder(tmp_path / "job")
        folder.create(config)
        assert problems(job_schema(), folder.read_document()) == []

    @pytest.mark.parametrize(
        "path, value",
        [
            (("kind",), "trian"),
            (("config", "data", "sed"), 1),
            (("config", "data", "train_split"), 1.5),
            (("config", "optimizer", "learning_rate"), "fast"),
            (("config", "optimizer", "betas"), [0.9, 2.0]),
            (("schema_version",), 99),
            (("note",), "?"),
        ],
    )
    def test_wrong_settings_do_not_fit(self, path: tuple[str, ...], value: Any) -> None:
        document = json.loads(json.dumps(job_document(TrainConfig())))
        target = document
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value
        assert problems(job_schema(), document)

    def test_settings_of_another_kind_do_not_fit(self) -> None:
        document = {"schema_version": 1, "kind": "apply", "config": job_document(TrainConfig())["config"]}
        assert problems(job_schema(), document)

    def test_every_setting_has_its_help_and_limits(self) -> None:
        definitions = job_schema()["$defs"]
        for cls in (*settings_of_kinds().values(), OptimizerConfig):
            for item in fields(cls):
                if "help" in item.metadata:
                    described = definitions[cls.__name__]["properties"][item.name]["description"]
                    assert described == item.metadata["help"]
        rate = definitions["OptimizerConfig"]["properties"]["learning_rate"]["anyOf"][0]
        assert rate == {"type": "number", "minimum": 1e-12, "maximum": 10.0}


class TestStatus:
    def test_what_an_owner_writes_fits(self, tmp_path: Path) -> None:
        with JobOwner(JobFolder(tmp_path), "train") as owner:
            owner.update(state="running", stage="train", epoch=3, epochs=9, progress=0.3, eta_seconds=4.5, best=0.9)
        status = json.loads((tmp_path / "status.json").read_text(encoding="utf-8"))
        assert problems(status_schema(), status) == []

    def test_a_missing_field_does_not_fit(self, tmp_path: Path) -> None:
        atomic.write_json(tmp_path / "status.json", {"state": "running"})
        assert problems(status_schema(), {"state": "running"})

    def test_lists_every_field(self) -> None:
        assert set(status_schema()["properties"]) == {item.name for item in fields(Status)}


class TestEvents:
    def test_what_a_log_writes_fits(self, tmp_path: Path) -> None:
        log = EventLog(tmp_path / "events.jsonl")
        log(Started(job="j", host="h", pid=3, version="0"))
        log(Planned(choices={"patch_size": {"value": [8, 16, 16], "reason": "it fits"}}))
        log(Validated(epoch=1, minutes=0.5, mean_dice=0.7, dice={"liver": 0.7, "tumor": None}))
        not_a_number = float("nan")
        log(Epoch(epoch=1, epochs=2, step=9, train_loss=not_a_number, learning_rate=1, gradient_norm=1, seconds=2))
        log(Failed(message="m", error="DataError", exit_code=1))
        events = EventReader(tmp_path / "events.jsonl").read()
        assert len(events) == 5
        assert [problems(events_schema(), event) for event in events] == [[]] * 5

    def test_what_a_real_job_writes_fits(self, tmp_path: Path) -> None:
        folder = JobFolder(tmp_path / "job")
        missing = str(tmp_path / "missing")
        folder.create(EvaluateConfig(predictions=missing, labels=missing, output_dir=str(tmp_path / "out")))
        with pytest.raises(Exception, match="missing"):
            run_job(folder.path)
        events = EventReader(folder.events_file).read()
        assert [event["kind"] for event in events] == ["started", "failed"]
        assert [problems(events_schema(), event) for event in events] == [[], []]
        status = json.loads(folder.status_file.read_text(encoding="utf-8"))
        assert problems(status_schema(), status) == []
        assert problems(job_schema(), folder.read_document()) == []

    @pytest.mark.parametrize(
        "event",
        [
            {"seq": 1, "time": 0.0, "kind": "best", "epoch": 1},
            {"seq": 0, "time": 0.0, "kind": "warned", "message": "m"},
            {"seq": 1, "time": 0.0, "kind": "unheard", "message": "m"},
            {"seq": 1, "time": 0.0, "kind": "warned", "message": 3},
        ],
        ids=["field missing", "no number", "unknown kind", "wrong type"],
    )
    def test_other_lines_do_not_fit(self, event: dict[str, Any]) -> None:
        assert problems(events_schema(), event)

    def test_every_kind_has_its_class_text(self) -> None:
        for kind, cls in EVENT_KINDS.items():
            assert events_schema()["$defs"][kind]["description"] == inspect.getdoc(cls)
