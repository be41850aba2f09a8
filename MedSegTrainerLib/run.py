"""Runs the job in a folder: the same for the command line, Slicer, a test or a cluster."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MedSegTrainerLib import __version__
from MedSegTrainerLib.config import (
    ApplyConfig,
    CrossValidateConfig,
    FindRateConfig,
    JobConfig,
    TrainConfig,
    VerifyConfig,
)
from MedSegTrainerLib.errors import JobError, MedSegError, StorageError, system_words
from MedSegTrainerLib.events import EventLog, Failed, Finished, Started, Stopped
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder, JobOwner, Outcome
from MedSegTrainerLib.validation import parse_job


def run_job(path: Path, started: float | None = None) -> Outcome:
    """Does what ``job.json`` says, to the end; how it went stands in ``status.json`` and ``events.jsonl``.

    ``started`` is when a time budget began to run (now, by default). Raises the MedSegError that ended
    the job, and JobError where another process works on the folder.
    """
    folder = JobFolder(path)
    document = folder.read_document()
    with JobOwner(folder, str(document.get("kind"))) as owner, _polite_termination(folder):
        events = EventLog(folder.events_file)
        try:
            events(Started(job=path.resolve().name, host=socket.gethostname(), pid=os.getpid(), version=__version__))
            outcome = _dispatch(parse_job(document), folder, owner, events, started or time.time())
            _tell_outcome(outcome, owner, events)
        except KeyboardInterrupt:
            outcome = Outcome(message="Interrupted.", result=str(path), stopped=STOP_NOW)
            _tell_outcome(outcome, owner, events)
        except MedSegError as error:
            _tell_failure(error, owner, events)
            raise
        except Exception as error:
            traceback.print_exc()
            failure = MedSegError(_unexpected(error, folder))
            _tell_failure(failure, owner, events)
            raise failure from error
        return outcome


def _dispatch(config: JobConfig, folder: JobFolder, owner: JobOwner, events: EventLog, started: float) -> Outcome:
    # each kind loads only what it needs: an evaluation must not wait for torch
    if isinstance(config, TrainConfig):
        from MedSegTrainerLib.train_job import run_train

        return run_train(config, folder, owner, events, started)
    if isinstance(config, CrossValidateConfig):
        from MedSegTrainerLib.cross_validation import run_cross_validate

        return run_cross_validate(config, folder, owner, events)
    if isinstance(config, FindRateConfig):
        from MedSegTrainerLib.lr_finder import run_find_rate

        return run_find_rate(config, folder, owner, events, started)
    if isinstance(config, ApplyConfig):
        from MedSegTrainerLib.apply_job import run_apply

        return run_apply(config, folder, owner, events)
    if isinstance(config, VerifyConfig):
        from MedSegTrainerLib.verify_job import run_verify

        return run_verify(config, folder, owner, events)
    from MedSegTrainerLib.evaluation import run_evaluate

    owner.update(state="running", stage="evaluate")
    report = run_evaluate(config, events)
    return Outcome(message=f"Report: {report}", result=report)


def _tell_outcome(outcome: Outcome, owner: JobOwner, events: EventLog) -> None:
    if outcome.stopped:
        events(Stopped(how=outcome.stopped, message=outcome.message))
        owner.update(state="stopped", message=outcome.message, eta_seconds=None)
    else:
        events(Finished(message=outcome.message, result=outcome.result))
        owner.update(state="finished", message=outcome.message, eta_seconds=None, progress=1.0)


def _tell_failure(error: MedSegError, owner: JobOwner, events: EventLog) -> None:
    """Says what went wrong where the job is watched; a full disk may leave only the log."""
    if isinstance(error, JobError) and owner.lost:
        return  # the folder is another process's now
    try:
        events(Failed(message=str(error), error=type(error).__name__, exit_code=error.exit_code))
        owner.update(state="failed", message=str(error), eta_seconds=None)
    except StorageError as second:
        print(f"{error}\n{second}", file=sys.stderr)


def _unexpected(error: Exception, folder: JobFolder) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "There is not enough memory. Set a smaller data.batch_size or data.patch_size, data.cache=disk, "
            "close other programs, or use --device cpu."
        )
    if isinstance(error, OSError):
        return system_words(error)
    told = f"{type(error).__name__}: {error}"
    return f"An error that should not happen: {told}. Please report it with the file {folder.log_file}."


@contextmanager
def _polite_termination(folder: JobFolder) -> Iterator[None]:
    """A cluster's SIGTERM becomes a request to stop and keep the best model."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: folder.request_stop(STOP_KEEP_BEST))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
