"""Runs the job in a folder: the same for the command line, Slicer, a test or a cluster."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MedSegTrainerLib import __version__
from MedSegTrainerLib.errors import JobError, MedSegError, StorageError, system_error_text
from MedSegTrainerLib.events import EventLog, Failed, Finished, Started, Stopped, log_event
from MedSegTrainerLib.hardware.versions import versions
from MedSegTrainerLib.job import STOP_NOW, JobFolder, JobOwner, Outcome, checksum
from MedSegTrainerLib.job_logging import job_log
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.kinds import JOB_KINDS, parse_job
from MedSegTrainerLib.jobs.termination import polite_termination
from MedSegTrainerLib.jobs.torchrun import STARTED_VARIABLE, requested_devices, run_on_devices

if TYPE_CHECKING:
    from MedSegTrainerLib.hardware.distributed import Ranks

logger = logging.getLogger(__name__)


def run_job(path: Path, started: float | None = None, devices: int | None = None, expect: str | None = None) -> Outcome:
    """Does what ``job.json`` says, to the end; how it went stands in ``status.json`` and ``events.jsonl``.

    ``started`` is when a time budget began to run (now, by default). devices: that share a training, instead of what
    ``job.json`` says. expect: what ``JobFolder.create`` returned; another job is not run. Of several processes that
    torchrun has started on the folder each calls this. Raises the MedSegError that ended the job, and JobError where
    another process works on the folder.
    """
    folder = JobFolder(path)
    document = folder.read_document()
    if expect is not None and checksum(document) != expect:
        raise JobError(_replaced(folder))
    start = started or time.time()
    is_rank = int(os.environ.get("WORLD_SIZE", "1")) > 1
    with job_log(folder.log_file, rank=int(os.environ.get("RANK", "0")) if is_rank else 0):
        if is_rank:
            return _run_as_rank(folder, document, float(os.environ.get(STARTED_VARIABLE, start)))
        devices = devices or requested_devices(document)
        if devices > 1:
            return run_on_devices(folder, devices, start, checksum(document))
        return _run(folder, document, start)


def _work_of_kind(document: dict[str, Any], context: JobContext) -> Outcome:
    config = parse_job(document)
    return JOB_KINDS[config.KIND].run(config, context)


def _run(
    folder: JobFolder,
    document: dict[str, Any],
    started: float,
    joined: Ranks | None = None,
    work: Callable[[dict[str, Any], JobContext], Outcome] = _work_of_kind,
) -> Outcome:
    """Does the work as the owner of the job and tells how it ended."""
    path, kind = folder.path, str(document.get("kind"))
    with JobOwner(folder, kind) as owner, polite_termination(folder):
        events = EventLog(folder.events_file)
        try:
            if folder.read_document() != document:  # before the lock was taken
                raise JobError(_replaced(folder))
            events(Started(job=path.resolve().name, host=socket.gethostname(), pid=os.getpid(), version=__version__))
            logger.info("%s", ", ".join(f"{name} {version}" for name, version in versions().items()))
            context = JobContext(folder=folder, owner=owner, emit=events, started=started, joined=joined)
            outcome = work(document, context)
            _report_outcome(outcome, owner, events)
        except KeyboardInterrupt:
            outcome = Outcome(message="Interrupted.", result=str(path), stopped=STOP_NOW)
            _report_outcome(outcome, owner, events)
        except MedSegError as error:
            logger.debug("The job ended here:", exc_info=True)
            _report_failure(error, owner, events)
            raise
        except Exception as error:
            logger.exception("The job ended with an error that should not happen:")
            smaller = kind not in JOB_KINDS or JOB_KINDS[kind].has_training_settings
            failure = MedSegError(_unexpected(error, folder, has_training_settings=smaller))
            _report_failure(failure, owner, events)
            raise failure from error
        return outcome


def _run_as_rank(folder: JobFolder, document: dict[str, Any], started: float) -> Outcome:
    """One of several processes: the first owns the job, the others help where its kind is divided."""
    from MedSegTrainerLib.hardware.distributed import Bystander, joined

    kind = JOB_KINDS.get(str(document.get("kind")))
    is_divided = kind is not None and kind.is_divided
    with joined() as ranks:
        if ranks.is_first:
            return _run(folder, document, started, ranks if is_divided else None)
        config = parse_job(document)
        if kind is None or not is_divided:
            return Outcome(message="Only a training is divided among processes.", result=str(folder.path))
        context = JobContext(folder=folder, owner=Bystander(), emit=log_event, started=started, joined=ranks)
        with polite_termination(folder):
            try:
                return kind.run(config, context)
            except MedSegError:  # the command line says it
                logger.debug("This process of the training ended here:", exc_info=True)
                raise
            except Exception:
                logger.exception("This process of the training ended with an error that should not happen:")
                raise


def _report_outcome(outcome: Outcome, owner: JobOwner, events: EventLog) -> None:
    if outcome.stopped:
        events(Stopped(how=outcome.stopped, message=outcome.message))
        owner.update(state="stopped", message=outcome.message, eta_seconds=None)
    else:
        events(Finished(message=outcome.message, result=outcome.result))
        owner.update(state="finished", message=outcome.message, eta_seconds=None, progress=1.0)


def _report_failure(error: MedSegError, owner: JobOwner, events: EventLog) -> None:
    """Says what went wrong where the job is watched; a full disk may leave only the log."""
    if isinstance(error, JobError) and owner.lost:
        return  # the folder is another process's now
    try:
        events(Failed(message=str(error), error=type(error).__name__, exit_code=error.exit_code))
        owner.update(state="failed", message=str(error), eta_seconds=None)
    except StorageError as second:
        logger.error("%s", error)
        logger.error("%s", second)


def _replaced(folder: JobFolder) -> str:
    return (
        f"Another process has put another job into {folder.path} in the meantime. Yours was not run: give it a folder "
        "of its own."
    )


def _unexpected(error: Exception, folder: JobFolder, *, has_training_settings: bool) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        smaller = "Set a smaller data.batch_size or data.patch_size, data.cache=disk, " if has_training_settings else ""
        advice = f"{smaller}close other programs, or use --device cpu."
        return f"There is not enough memory. {advice[0].upper()}{advice[1:]}"
    if isinstance(error, OSError):
        return system_error_text(error)
    reason = f"{type(error).__name__}: {error}"
    return f"An error that should not happen: {reason}. Please report it with the file {folder.log_file}."
