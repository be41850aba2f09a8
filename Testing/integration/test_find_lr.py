"""A learning rate range test through the command line, and what it leaves for the training after it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from MedSegTrainerLib.config.job_settings import FindRateConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.json_schema import events_schema
from MedSegTrainerLib.jobs.run import run_job

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "patch_size=[8,16,16]", "base_channels=4", "samples_per_volume=2", "mixed_precision=false", "channels_last=false",
    "gradient_accumulation_steps=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def found(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[JobFolder, str]:
    """The job of ``find-lr`` and what the command printed."""
    job = JobFolder(tmp_path_factory.mktemp("find-lr") / "my job")
    words = ["find-lr", str(dataset), "-o", str(job.path), "--device", "cpu", "--fold", "1", "--folds", "3"]
    words += ["--epochs", "2", "--steps", "40", "--lowest", "1e-5", "--highest", "10"]
    words += [part for setting in TINY for part in ("--set", setting)]
    ended = subprocess.run(
        [sys.executable, "-m", "MedSegTrainerLib", *words], cwd=ROOT, capture_output=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    shown = (ended.stdout + ended.stderr).decode(errors="replace")
    assert ended.returncode == 0, shown
    return job, shown


def test_suggests_a_rate_with_its_picture_and_curve(found: tuple[JobFolder, str]) -> None:
    job, _ = found
    events = EventReader(job.events_file).read(limit=10**6)
    (rates,) = [event for event in events if event["kind"] == "rates"]
    assert 1e-5 < rates["suggestion"] < 10
    assert 15 <= len(rates["rates"]) == len(rates["losses"]) == len(rates["smoothed"]) <= 40
    assert Path(rates["picture"]) == job.report / "lr_finder.png"
    assert (job.report / "lr_finder.png").read_bytes().startswith(b"\x89PNG")
    assert [event["name"] for event in events if event["kind"] == "stage"] == ["scan", "plan", "prepare", "find-lr"]
    validator = Draft202012Validator(events_schema())
    assert [error.message for event in events for error in validator.iter_errors(event)] == []


def test_leaves_a_finished_job_without_a_model(found: tuple[JobFolder, str]) -> None:
    job, _ = found
    status = job.status()
    assert (status.state, status.kind, status.progress) == ("finished", "find-lr", 1.0)
    assert not job.model.exists() and not job.checkpoint_file.exists()
    assert json.loads(job.job_file.read_text())["config"]["train"]["data"]["fold"] == 1


def test_tells_what_to_type_next(found: tuple[JobFolder, str], dataset: Path) -> None:
    job, shown = found
    (event,) = [event for event in EventReader(job.events_file).read(limit=10**6) if event["kind"] == "rates"]
    assert f"Suggested learning rate: {event['suggestion']:g}" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("Train with it: ")]
    words = shlex.split(line.removeprefix("Train with it: "))
    assert words[:3] == ["medsegtrainer", "train", str(dataset)]
    for setting in ("data.fold=1", "data.folds=3", "trainer.epochs=2", *TINY, f"learning_rate={event['suggestion']:g}"):
        assert setting in words


def test_a_loss_that_never_falls_is_told_with_the_picture(dataset: Path, tmp_path: Path) -> None:
    """So small rates change nothing."""
    settings = dict(setting.split("=") for setting in TINY)
    train = {
        "data": {"data_dir": str(dataset), "fold": 0, "folds": 3, "patch_size": settings["patch_size"]},
        "network": {"base_channels": "4"}, "trainer": {"epochs": "2", "device": "cpu", "mixed_precision": "false"},
    }  # fmt: skip
    job = JobFolder(tmp_path / "job")
    job.create(parse_config(FindRateConfig, {"train": train, "steps": 20, "lowest": 1e-12, "highest": 1e-11}))
    with pytest.raises(TrainingError, match="fell at no learning rate from 1e-12 to 1e-11"):
        run_job(job.path)
    assert (job.report / "lr_finder.png").exists()
    assert job.status().state == "failed"
