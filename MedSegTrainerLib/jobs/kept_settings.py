"""The settings that a training began with: ``settings.json`` of the job folder, which a resume goes on with.

The plan, the optimizer's state and the best epoch follow from them, so that half of a training would be done by others.
What no weight follows from may change: where the data lie, what computes, and what is written beside the model.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError, JobError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder

MAY_CHANGE = {
    "data": ("data_dir", "patient_table", "num_workers", "pin_memory", "cache_dir", "cache_gb"),
    "trainer": (
        "device",
        "devices",
        "checkpoint_dir",
        "checkpoint_seconds",
        "save_frequency",
        "keep_checkpoints",
        "save_best_only",
        "tensorboard",
    ),
}


def keep_settings(config: TrainConfig, folder: JobFolder, *, resumed: bool) -> None:
    """Records the settings of a training, or compares them with those that it began with.

    begun: whether anything follows from the record already; a job of an earlier version has none. Raises JobError with
    all settings that are others now.
    """
    if not resumed or not folder.settings_file.exists():
        atomic.write_json(folder.settings_file, asdict(config))
        return
    now, then = asdict(config), asdict(_read(folder))
    changes = [
        f"\n  - {section}.{name} = {_short(now[section][name])}, and it began with {_short(value)}"
        for section, values in then.items()
        for name, value in values.items()
        if now[section][name] != value and name not in MAY_CHANGE.get(section, ())
    ]
    if changes:
        raise JobError(
            f"{folder.job_file} asks for other settings than this training began with:{''.join(changes)}\n"
            "Put them back, then --resume goes on. To train with these, or longer, begin a new training in another "
            "folder."
        )


def _read(folder: JobFolder) -> TrainConfig:
    try:
        config: TrainConfig = parse_config(TrainConfig, read_json_file(folder.settings_file, JobError))
    except (ConfigError, JobError):
        raise JobError(
            f"{folder.settings_file} is damaged, so it is not known any more which settings this training began with. "
            "Remove the file if those in job.json are the same as then: it is written again."
        ) from None
    return config


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
