"""Everything a training needs to go on exactly where it was, in one file that is replaced at once.

It is written while the training goes on, which waits for a copy of the tensors and not for the disk.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic import TypeAdapter

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import TrainingError, some
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.training.learner import Learner

NUMBERED = re.compile(r"epoch_\d{4,}\.pt")
UNREADABLE = (
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    EOFError,
    OSError,
    pickle.UnpicklingError,
)


@dataclass(kw_only=True)
class TrainingState:
    """Where a training is. ``total_steps`` can change while a time budget is kept.

    best: the monitored metric of the model package. improved, improved_epoch: its last value that counts for
    early stopping, and when. best_kept: its value at the best numbered checkpoint. val_epochs, val_losses: every
    validation so far. reductions: of the rate by the schedule 'plateau'. rate_scale, clip: what recoveries from a
    loss that was not a number left behind; recovered_epoch: where the last one went back to.

    Random draws follow from the seed and the step, so no generator needs to be stored.
    """

    total_steps: int
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    improved: float | None = None
    improved_epoch: int = 0
    best_kept: float | None = None
    val_epochs: list[int] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    reductions: int = 0
    rate_scale: float = 1.0
    clip: float | None = None
    recoveries: int = 0
    recovered_epoch: int = -1


def save_checkpoint(path: Path, learner: Learner, state: TrainingState) -> None:
    """Weights, optimizer, average and state; raises StorageError."""
    write_checkpoint(path, checkpoint_content(learner, state))


def checkpoint_content(learner: Learner, state: TrainingState) -> dict[str, Any]:
    """What ``write_checkpoint`` writes. The tensors are those that training goes on with."""
    return {
        "state": asdict(state),
        "network": dict(learner.network.state_dict()),
        "optimizer": learner.optimizer.state_dict(),
        "average": learner.average.weights,
        "average_steps": learner.average.steps,
        "scaler": learner.precision.scaler.state_dict(),
    }


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """A checkpoint in place of the one before; raises StorageError."""
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_with(path, lambda stream: _save(content, stream))


def load_checkpoint(path: Path, learner: Learner) -> TrainingState:
    """Puts a checkpoint back into the learner; raises TrainingError where it does not fit."""
    try:
        content: dict[str, Any] = torch.load(path, map_location=learner.device, weights_only=True)
        learner.network.load_state_dict(content["network"])
        learner.optimizer.load_state_dict(content["optimizer"])
        for name, value in learner.average.weights.items():
            value.copy_(content["average"][name])
        learner.average.steps = content["average_steps"]
        learner.precision.scaler.load_state_dict(content["scaler"])
        state: TrainingState = TypeAdapter(TrainingState).validate_python(content["state"])
        return state
    except UNREADABLE as error:
        raise TrainingError(
            f"{path} cannot be resumed from: {_unreadable_reason(error)}. Start the training anew in another folder."
        ) from None


def numbered(folder: Path, state: TrainingState) -> Path:
    """``epoch_0010.pt``, say, of the state's epoch."""
    return folder / f"epoch_{state.epoch:04d}.pt"


def keep_newest(newest: Path, most: int, record: Path) -> None:
    """Notes in ``record`` that the job wrote this numbered checkpoint, and removes the older ones that stand there but
    for ``most``; one that somebody else wrote, or wrote anew, stays. Raises StorageError."""
    written = {**_written(record), newest.name: newest.stat().st_mtime_ns}
    by_number = sorted(written, key=lambda name: (len(name), name))
    with atomic.storage_errors(newest.parent):
        for name in by_number[:-most]:
            old = newest.parent / name
            if old.exists() and old.lstat().st_mtime_ns == written[name]:
                old.unlink()
    with atomic.storage_errors(record):
        record.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(record, {name: written[name] for name in by_number[-most:]})


def refuse_unfit_folder(job: JobFolder, name: str) -> None:
    """Raises TrainingError where links lead ``trainer.checkpoint_dir`` out of the job, and where a training that begins
    would write over the checkpoints of another one."""
    folder = job.path / name
    if Path(name).is_absolute():
        others = [path.name for path in folder.glob("*.pt") if path.name == "best.pt" or NUMBERED.fullmatch(path.name)]
        if others and not job.checkpoint_file.exists():
            raise TrainingError(
                f"trainer.checkpoint_dir = {name}: it holds checkpoints of another training ({some(sorted(others))}). "
                "Give this one a folder of its own."
            )
    elif not folder.resolve().is_relative_to(job.path.resolve()):
        raise TrainingError(
            f"trainer.checkpoint_dir = {name}: a link leads it out of the job folder, to {folder.resolve()}. Remove "
            "the link, or give the folder's absolute path."
        )


def _written(record: Path) -> dict[str, int]:
    try:
        content = read_json_file(record, TrainingError)
    except (OSError, TrainingError):
        return {}
    if not fits(content, dict[str, int]):
        return {}
    return {name: time for name, time in content.items() if NUMBERED.fullmatch(name)}


def _unreadable_reason(error: Exception) -> str:
    """What is wrong, as a text of our own: PyTorch's advise to load such files without its safeguard."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds something else than numbers, or is damaged; it is not opened, because that could run code"
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    if isinstance(error, RuntimeError) and "size mismatch" in str(error):
        return "it is of another network"
    return "it is damaged, or was written by another program"


class _ErrorKeepingStream:
    """A stream for ``torch.save``, which says of a full disk only that it made a mistake itself."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, content: bytes | memoryview) -> int:
        try:
            if self.error is None:
                self.stream.write(content)
        except OSError as error:
            self.error = error
        return memoryview(content).nbytes

    def flush(self) -> None:
        """Whoever opened the stream flushes it."""


def _save(content: dict[str, Any], stream: BinaryIO) -> None:
    kept_stream = _ErrorKeepingStream(stream)
    torch.save(content, kept_stream)  # type: ignore[arg-type]
    if kept_stream.error is not None:
        raise kept_stream.error


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
