"""What commands share: the terminal, settings from options, and running a job while its events are shown."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from MedSegTrainerLib.config.job_settings import CrossValidateConfig
from MedSegTrainerLib.config.settings import JobConfig, TrainConfig
from MedSegTrainerLib.errors import JobError, UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_logging import LogReader, is_verbose
from MedSegTrainerLib.jobs.kinds import parse_job

STARTED = time.time()  # a time budget counts from here: loading the libraries is part of it

console = Console(soft_wrap=True)
error_console = Console(stderr=True, soft_wrap=True)


def create_and_run(folder: JobFolder, config: JobConfig) -> None:
    """``train``, ``apply`` and ``evaluate`` are only this: write a job folder, run it, show its events."""
    run_and_watch(folder, expect=folder.create(config))


def resume_job(folder: JobFolder, devices: int | None = None) -> None:
    """Goes on with a job; ``devices``: on so many instead of what it was made for."""
    if not isinstance(parse_job(folder.read_document()), (TrainConfig, CrossValidateConfig)):
        raise UsageError(
            f"{folder.path} is no training job. Only 'train' and 'cross-validate' can be resumed; "
            "start the others again."
        )
    if folder.status().is_alive():
        raise JobError(f"{folder.path} is still running: medsegtrainer status {folder.path}")
    run_and_watch(folder, devices)


def run_and_watch(folder: JobFolder, devices: int | None = None, expect: str | None = None) -> None:
    from MedSegTrainerLib.cli.console import watch

    log = LogReader(folder.log_file) if is_verbose() else None
    watch(folder, folder.start(devices=devices, expect=expect), console, log)


def as_assignments(**options: Any) -> list[str]:
    """Options that were given, as assignments to the settings of the same name."""
    if options["budget"] is not None and options["epochs"] is not None:
        raise UsageError("--budget and --epochs are two ways to say how long to train. Give one of them.")
    sections = {"type": "network", **dict.fromkeys(("budget", "epochs", "device", "devices"), "trainer")}
    present = {
        name: value for name, value in options.items() if value is not None and (name, value) != ("device", "auto")
    }
    return [f"{sections.get(name, 'data')}.{name}={value}" for name, value in present.items()]


def start_assignments(model: Path | None, rename: list[str] | None, adapt: bool) -> list[str]:
    """``--start-from``, ``--rename`` and ``--adapt`` as assignments; the process that trains is in another folder."""
    return [
        *([f"start.model={model.resolve()}"] if model is not None else []),
        *([f"start.rename={json.dumps(rename)}"] if rename else []),
        *(["start.adapt=true"] if adapt else []),
    ]


def read_train_config(data: Path, config: Path | None, assignments: list[str]) -> TrainConfig:
    """Settings from the file, then from the options; raises UsageError or ConfigError with all problems."""
    from MedSegTrainerLib.workflow.settings_files import train_config

    return train_config(data, config, assignments)
