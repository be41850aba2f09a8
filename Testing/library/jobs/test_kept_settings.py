"""A training goes on with the settings that it began with."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.kept_settings import MAY_CHANGE, keep_settings


def config(*settings: str) -> TrainConfig:
    read: TrainConfig = parse_config(TrainConfig, with_settings({}, settings))
    return read


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    keep_settings(config("epochs=3"), JobFolder(tmp_path), resumed=False)
    return JobFolder(tmp_path)


def test_all_changes_are_named(folder: JobFolder) -> None:
    with pytest.raises(JobError) as refused:
        keep_settings(config("epochs=4", "learning_rate=0.5", "dropout=0.25"), folder, resumed=True)
    text = str(refused.value)
    assert "trainer.epochs = 4, and it began with 3" in text and "another folder" in text
    assert "optimizer.learning_rate = 0.5" in text and "network.dropout = 0.25" in text and text.count("\n  - ") == 3
    keep_settings(config("epochs=3"), folder, resumed=True)


@pytest.mark.parametrize(
    "setting",
    ["data_dir=elsewhere", "trainer.device=cpu", "trainer.devices=2", "save_frequency=2", "tensorboard=false"],
)
def test_what_changes_no_weight_is_free(folder: JobFolder, setting: str) -> None:
    keep_settings(config("epochs=3", setting), folder, resumed=True)


def test_before_anything_follows_from_them_they_are_replaced(folder: JobFolder) -> None:
    keep_settings(config("epochs=4"), folder, resumed=False)
    keep_settings(config("epochs=4"), folder, resumed=True)


def test_a_job_without_the_record_gets_one(tmp_path: Path) -> None:
    keep_settings(config("epochs=3"), JobFolder(tmp_path), resumed=True)
    assert json.loads((tmp_path / "settings.json").read_text())["trainer"]["epochs"] == 3


def test_a_setting_that_a_later_version_added_is_as_by_default(folder: JobFolder) -> None:
    values = json.loads(folder.settings_file.read_text())
    del values["network"]["dropout"]
    folder.settings_file.write_text(json.dumps(values))
    keep_settings(config("epochs=3"), folder, resumed=True)


@pytest.mark.parametrize("content", ["", "[]", "7", '{"a": 1}', '{"trainer": {"epochs": "many"}}'])
def test_a_damaged_record(folder: JobFolder, content: str) -> None:
    folder.settings_file.write_text(content)
    with pytest.raises(JobError, match=r"settings.json is damaged.*Remove the file"):
        keep_settings(config("epochs=3"), folder, resumed=True)


def test_free_are_settings_that_exist() -> None:
    existing = asdict(TrainConfig())
    assert all(name in existing[section] for section, names in MAY_CHANGE.items() for name in names)
