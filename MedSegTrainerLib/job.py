"""The job folder: the interface between whoever wants work done and the process that does it.

Creating, starting, watching and stopping a job needs this file, ``config`` and ``events`` only:
the standard library, so Slicer's Python can do all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.job_settings import job_document
from MedSegTrainerLib.config.settings import JobConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits, types_of
from MedSegTrainerLib.job_lock import JobLock, busy, small_text
from MedSegTrainerLib.job_logging import open_log
from MedSegTrainerLib.job_status import HEARTBEAT_SECONDS, Status
from MedSegTrainerLib.processes import below_normal, step_back

logger = logging.getLogger(__name__)

# glibc gives large blocks back to the system when they are freed; every training step would fetch them again
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1)}
STOP_KEEP_BEST, STOP_NOW = "keep-best", "now"
LARGEST_REQUEST = 1 << 16  # bytes of ``previews/case.json``, which holds a name
FOLDERS_WRITTEN = (".", "checkpoints", "model", "previews", "report", "start", "tensorboard")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended: ``stopped`` is how somebody stopped it, ``result`` the path to look at."""

    message: str
    result: str
    stopped: str | None = None


@dataclass(frozen=True)
class JobFolder:
    """Paths of a job and what anyone may do with it."""

    path: Path

    @property
    def job_file(self) -> Path:
        return self.path / "job.json"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def stop_file(self) -> Path:
        return self.path / "stop"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    @property
    def checkpoint_file(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def numbered_file(self) -> Path:
        """Which numbered checkpoints the job wrote."""
        return self.path / "checkpoints" / "numbered.json"

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def settings_file(self) -> Path:
        """The settings that a training began with."""
        return self.path / "settings.json"

    @property
    def used_cases_file(self) -> Path:
        return self.path / "used_cases.json"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def start_model(self) -> Path:
        """A copy of the model that the training began as."""
        return self.path / "start"

    @property
    def folds(self) -> Path:
        return self.path / "folds"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def previews(self) -> Path:
        return self.path / "previews"

    @property
    def preview_case_file(self) -> Path:
        """Which held-out case the previews are to show."""
        return self.previews / "case.json"

    @property
    def curves_file(self) -> Path:
        return self.path / "curves.png"

    def create(self, config: JobConfig) -> str:
        """Writes ``job.json`` into a new folder, or into one whose job never got as far as a result.

        Returns a checksum of it, by which ``start`` and ``run_job`` see that it is still this job. Raises JobError
        where the folder holds a living job, a result, or something else, and where another process creates one.
        """
        self._refuse_unless_free()
        with atomic.storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with JobLock(self).held():
            self._refuse_unless_free()
            with atomic.storage_errors(self.path):
                for old in self._of_earlier_job():
                    old.unlink(missing_ok=True)
            document = job_document(config)
            atomic.write_json(self.job_file, document)
        return checksum(document)

    def read_document(self) -> dict[str, Any]:
        """The content of ``job.json``; raises JobError."""
        try:
            document = read_json_file(self.job_file, JobError)
        except FileNotFoundError:
            raise JobError(f"{self.path} is not a job folder: it has no job.json. Check the path.") from None
        except OSError as error:
            raise JobError(f"{self.job_file} cannot be read: {error.strerror}. Check the path.") from None
        return document if isinstance(document, dict) else {"kind": None}

    def status(self) -> Status:
        """The last written status; a job nobody started is ``created``. A field of another type is as if not there."""
        try:
            values = read_json_file(self.status_file, JobError)
        except (OSError, JobError):
            return Status()
        if not isinstance(values, dict):
            return Status()
        types = types_of(Status).items()
        return Status(**{name: values[name] for name, kind in types if name in values and fits(values[name], kind)})

    def request_stop(self, how: str = STOP_KEEP_BEST) -> None:
        """Asks the process that works on the job to end: ``keep-best`` or ``now``."""
        atomic.write_bytes(self.stop_file, how.encode())

    def stop_requested(self) -> str | None:
        """``keep-best``, ``now``, or None when nobody asked."""
        text = small_text(self.stop_file)
        return None if text is None else STOP_NOW if text.strip() == STOP_NOW else STOP_KEEP_BEST

    def request_preview(self, case: str) -> None:
        """Asks the process that trains to show this held-out case, from its next validation on. Raises StorageError."""
        with atomic.storage_errors(self.previews):
            self.previews.mkdir(exist_ok=True)
        atomic.write_json(self.preview_case_file, {"case": case})

    def preview_requested(self) -> str | None:
        """The name that somebody asked for, whether or not a case has it; None where it cannot be read."""
        try:
            values = read_json_file(self.preview_case_file, JobError, LARGEST_REQUEST)
        except (OSError, JobError):
            return None
        case = values.get("case") if isinstance(values, dict) else None
        return case if isinstance(case, str) else None

    def start(
        self,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        *,
        behind: bool = False,
        devices: int | None = None,
        expect: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts ``run`` on this folder in a process of its own that outlives the caller.

        What it prints goes to ``log.txt``; ``python`` is an interpreter with torch. environment: variables of the
        new process, by default the caller's. behind: everything else on the computer goes first. devices: on so many
        instead of what ``job.json`` says. expect: what ``create`` returned; another job is not run.
        """
        library = Path(__file__).resolve().parent.parent
        detached: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
            detached = {"creationflags": flags | (below_normal() if behind else 0)}
        command = [python, "-m", "MedSegTrainerLib", "run", str(self.path.resolve()), "--quiet"]
        command += [] if devices is None else ["--devices", str(devices)]
        command += [] if expect is None else ["--expect", expect]
        base = os.environ if environment is None else environment
        self._reserve()
        with open_log(self.log_file) as log:
            process = subprocess.Popen(
                command,
                cwd=library,
                env={
                    **{name: value for name, value in base.items() if name != "WORLD_SIZE"},  # not one of our ranks
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONIOENCODING": "utf-8",
                    **KEEP_FREED_MEMORY,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **detached,
            )
        if behind:
            step_back(process.pid)
        return process

    def _reserve(self) -> None:
        """A job that nobody has run yet must not be replaced while its process loads its libraries."""
        if not self.lock_file.exists() and self.status().state == "created":
            self.stop_file.unlink(missing_ok=True)
            status = Status(state="starting", host=socket.gethostname(), pid=os.getpid(), heartbeat=time.time())
            atomic.write_json(self.status_file, asdict(status))

    def _of_earlier_job(self) -> tuple[Path, ...]:
        return (
            self.status_file,
            self.events_file,
            self.log_file,
            self.stop_file,
            self.plan_file,
            self.used_cases_file,
            self.settings_file,
            self.preview_case_file,
            *(self.start_model / name for name in ("model.json", "weights.safetensors", "card.md")),
        )

    def _refuse_unless_free(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise JobError(f"{self.path} is a file. Give the name of a new folder for the job.")
        if self.job_file.exists():
            if self.status().is_alive():
                raise JobError(busy(self))
            if self.checkpoint_file.exists() or self.model.exists() or self.folds.exists():
                raise JobError(
                    f"{self.path} already holds a trained job. Choose another folder, or go on with it: --resume."
                )
        elif not all(path == self.lock_file or atomic.TEMPORARY.match(path.name) for path in self.path.iterdir()):
            raise JobError(f"{self.path} is not empty and is not a job folder. Choose a new folder.")


class JobOwner:
    """The one process that works on a job: holds its lock, beats its heart, writes its status.

    A context manager. Entering raises JobError while another process lives on the folder; a dead one
    is taken over. When this process itself is taken over (it was suspended), ``lost`` becomes True.
    """

    def __init__(self, folder: JobFolder, kind: str) -> None:
        self.folder = folder
        self.lost = False
        self._lock = JobLock(folder)
        self._status = Status(state="starting", kind=kind, host=socket.gethostname(), pid=os.getpid())
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> JobOwner:
        self._lock.acquire()
        _remove_leftovers(self.folder)
        previous = self.folder.status()
        if previous.state != "starting" or not previous.is_alive():  # else it may be asked of this very process
            self.folder.stop_file.unlink(missing_ok=True)
        self.update(state="starting", best=previous.best, epoch=previous.epoch, epochs=previous.epochs)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self._lock.release()

    def update(self, **changes: Any) -> None:
        """Changes fields of the status and writes it."""
        with self._guard:
            self._status = replace(self._status, **changes, heartbeat=time.time())
            self.lost = not self._lock.is_mine()
            if not self.lost:
                atomic.write_json(self.folder.status_file, asdict(self._status))

    def _beat(self) -> None:
        while not self._closing.wait(HEARTBEAT_SECONDS):
            try:
                self.update()
            except Exception as error:  # a full disk must not silence the heart: the next beat may succeed
                logger.warning("The heartbeat could not be written: %s", error)


def checksum(document: Mapping[str, Any]) -> str:
    """Of the content of a ``job.json``."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _remove_leftovers(folder: JobFolder) -> None:
    """Half-written files of a process that died, where jobs write them and nowhere that a link leads to."""
    for directory in (folder.path / name for name in FOLDERS_WRITTEN):
        if directory.is_symlink() or not directory.is_dir():
            continue
        for path in directory.iterdir():
            if atomic.TEMPORARY.match(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)
