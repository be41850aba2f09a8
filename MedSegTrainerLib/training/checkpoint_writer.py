"""Checkpoints written while training goes on: it waits for a copy of the tensors, and not for the disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib.training.checkpoint import (
    TrainingState,
    checkpoint_content,
    keep_newest,
    numbered,
    write_checkpoint,
)
from MedSegTrainerLib.training.learner import Learner


class CheckpointWriter:
    """Writes one checkpoint after the other; each is whole before the next one begins.

    What went wrong with a checkpoint, a StorageError, is raised by the next call. A process that ends in order writes
    what it has begun to write.
    """

    def __init__(self, thread: Executor | None = None) -> None:
        """``thread`` does one thing after the other; a thread of its own by default."""
        self._thread = thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._last: Future[None] | None = None

    def save(self, path: Path, learner: Learner, state: TrainingState) -> None:
        """What ``checkpoint.save_checkpoint`` does."""
        self._begin(learner, state, lambda content: write_checkpoint(path, content))

    def keep_numbered(self, folder: Path, learner: Learner, state: TrainingState, most: int, record: Path) -> None:
        """Writes ``epoch_0010.pt``, say, and removes all but the newest ``most`` of those in ``record``."""
        path = numbered(folder, state)  # now: the state goes on

        def work(content: dict[str, Any]) -> None:
            write_checkpoint(path, content)
            keep_newest(path, most, record)

        self._begin(learner, state, work)

    def wait(self) -> None:
        """Until everything is on the disk: before a checkpoint is read, and at the end."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def _begin(self, learner: Learner, state: TrainingState, work: Callable[[dict[str, Any]], None]) -> None:
        self.wait()  # else there could be many copies at the same time
        self._last = self._thread.submit(partial(work, _copy(checkpoint_content(learner, state))))


def _copy(value: Any) -> Any:
    """Dicts and lists with copies of their tensors in main memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: _copy(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_copy(entry) for entry in value]
    return value
