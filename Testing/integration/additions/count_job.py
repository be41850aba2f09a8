"""A kind of job as somebody adds it: its settings and what runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from MedSegTrainerLib.config.settings import JobConfig, setting
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.events import Stage
from MedSegTrainerLib.job import Outcome
from MedSegTrainerLib.jobs.context import JobContext


@dataclass(frozen=True, kw_only=True)
class CountConfig(JobConfig):
    """A job of kind ``count``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "count"
    CHECK: ClassVar[str] = "MedSegTrainerLib.jobs.count_job:contradictions"

    folder: str = setting("", "Folder whose files are counted.")
    fewest: int = setting(0, "How many there must be at least.", minimum=0, maximum=1000)
    most: int = setting(1000, "How many there may be at most.", minimum=0, maximum=1000)


def contradictions(config: CountConfig) -> list[str]:
    """Limits that no number is between."""
    if config.fewest <= config.most:
        return []
    return [f"fewest = {config.fewest} and most = {config.most}: the fewest must not be above the most."]


def run_count(config: CountConfig, context: JobContext) -> Outcome:
    """Counts the files; raises DataError where they are too few or too many."""
    context.owner.update(state="running", stage="count")
    context.emit(Stage(name="count", message=f"Counting files of {config.folder}"))
    count = sum(path.is_file() for path in Path(config.folder).iterdir())
    if not config.fewest <= count <= config.most:
        raise DataError(f"{config.folder} has {count} files, and {config.fewest} to {config.most} are asked for.")
    return Outcome(message=f"{count} files.", result=config.folder)
