"""The job folder: the interface between whoever wants work done and the process that does it.

Creating, starting, watching and stopping a job needs this file, ``config.py`` and ``events.py`` only:
the standard library, so Slicer's Python can do all of it.
"""

from __future__ import annotations

import json
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
from MedSegTrainerLib.config import JobConfig, job_document
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.priority import below_normal, step_back

HEARTBEAT_SECONDS = 3.0
DEAD_AFTER_SECONDS = 60.0
# glibc gives large blocks back to the system when they are freed; every training step would fetch them again
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1)}
ACTIVE_STATES = ("starting", "running")
STOP_KEEP_BEST, STOP_NOW = "keep-best", "now"


@dataclass(frozen=True, kw_only=True)
class Status:
    """Content of ``status.json``. ``state``: created, starting, running, finished, stopped or failed."""

    state: str = "created"
    kind: str = ""
    host: str = ""
    pid: int = 0
    heartbeat: float = 0.0
    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    progress: float = 0.0
    eta_seconds: float | None = None
    best: float | None = None
    message: str = ""

    def is_alive(self) -> bool:
        """Whether a process is working on the job: a fresh heartbeat and, on this machine, a living process."""
        if self.state not in ACTIVE_STATES or time.time() - self.heartbeat > DEAD_AFTER_SECONDS:
            return False
        return self.host != socket.gethostname() or process_exists(self.pid)


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
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def model(self) -> Path:
        return self.path / "model"

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
    def curves_file(self) -> Path:
        return self.path / "curves.png"

    def create(self, config: JobConfig) -> None:
        """Writes ``job.json`` into a new folder, or into one whose job never got as far as a result.

        Raises JobError where the folder holds a living job, a result, or something else.
        """
        self._refuse_unless_free()
        with atomic.storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for old in (self.status_file, self.events_file, self.log_file, self.stop_file, self.plan_file):
                old.unlink(missing_ok=True)
        atomic.write_json(self.job_file, job_document(config))

    def read_document(self) -> dict[str, Any]:
        """The content of ``job.json``; raises JobError."""
        try:
            document = json.loads(self.job_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise JobError(f"{self.path} is not a job folder: it has no job.json. Check the path.") from None
        except (OSError, ValueError) as error:
            raise JobError(f"{self.job_file} cannot be read: {error}") from None
        return document if isinstance(document, dict) else {"kind": None}

    def status(self) -> Status:
        """The last written status; a job nobody started is ``created``."""
        try:
            values = json.loads(self.status_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Status()
        if not isinstance(values, dict):
            return Status()
        return Status(**{key: value for key, value in values.items() if key in Status.__dataclass_fields__})

    def request_stop(self, how: str = STOP_KEEP_BEST) -> None:
        """Asks the process that works on the job to end: ``keep-best`` or ``now``."""
        atomic.write_bytes(self.stop_file, how.encode())

    def stop_requested(self) -> str | None:
        """``keep-best``, ``now``, or None when nobody asked."""
        try:
            words = self.stop_file.read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return STOP_NOW if words == STOP_NOW else STOP_KEEP_BEST

    def start(
        self,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        *,
        behind: bool = False,
        devices: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts ``run`` on this folder in a process of its own that outlives the caller.

        What it prints goes to ``log.txt``; ``python`` is an interpreter with torch. environment: variables of the
        new process, by default the caller's. behind: everything else on the computer goes first. devices: on so many
        instead of what ``job.json`` says.
        """
        library = Path(__file__).resolve().parent.parent
        detached: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
            detached = {"creationflags": flags | (below_normal() if behind else 0)}
        command = [python, "-m", "MedSegTrainerLib", "run", str(self.path.resolve()), "--quiet"]
        command += [] if devices is None else ["--devices", str(devices)]
        given = os.environ if environment is None else environment
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=library,
                env={
                    **{name: value for name, value in given.items() if name != "WORLD_SIZE"},  # not one of our ranks
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

    def _refuse_unless_free(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise JobError(f"{self.path} is a file. Give the name of a new folder for the job.")
        if self.job_file.exists():
            if self.status().is_alive():
                raise JobError(_busy(self.path, self.status()))
            if self.checkpoint_file.exists() or self.model.exists() or self.folds.exists():
                raise JobError(
                    f"{self.path} already holds a trained job. Choose another folder, or go on with it: --resume."
                )
        elif any(self.path.iterdir()):
            raise JobError(f"{self.path} is not empty and is not a job folder. Choose a new folder.")


class JobOwner:
    """The one process that works on a job: holds its lock, beats its heart, writes its status.

    A context manager. Entering raises JobError while another process lives on the folder; a dead one
    is taken over. When this process itself is taken over (it was suspended), ``lost`` becomes True.
    """

    def __init__(self, folder: JobFolder, kind: str) -> None:
        self.folder = folder
        self.lost = False
        self._claim = f"{socket.gethostname()} {os.getpid()} {time.time_ns()}"
        self._status = Status(state="starting", kind=kind, host=socket.gethostname(), pid=os.getpid())
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> JobOwner:
        self._acquire()
        for left_by_a_dead_process in (*self.folder.path.glob(".tmp-*"), *self.folder.path.glob("*/.tmp-*")):
            if left_by_a_dead_process.is_file():
                left_by_a_dead_process.unlink(missing_ok=True)
        previous = self.folder.status()
        self.update(state="starting", best=previous.best, epoch=previous.epoch, epochs=previous.epochs)
        self.folder.stop_file.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        if self._owns_lock():
            self.folder.lock_file.unlink(missing_ok=True)

    def update(self, **changes: Any) -> None:
        """Changes fields of the status and writes it."""
        with self._guard:
            self._status = replace(self._status, **changes, heartbeat=time.time())
            self.lost = not self._owns_lock()
            if not self.lost:
                atomic.write_json(self.folder.status_file, asdict(self._status))

    def _beat(self) -> None:
        while not self._closing.wait(HEARTBEAT_SECONDS):
            try:
                self.update()
            except Exception as error:  # a full disk must not silence the heart: the next beat may succeed
                print(f"The heartbeat could not be written: {error}", file=sys.stderr)

    def _acquire(self) -> None:
        try:
            with self.folder.lock_file.open("x", encoding="utf-8") as stream:
                stream.write(self._claim)
            return
        except FileExistsError:
            pass
        except OSError as error:
            raise JobError(f"{self.folder.path} cannot be locked: {error.strerror}.") from None
        status = self.folder.status()
        if status.is_alive() or self._lock_is_fresh():
            raise JobError(_busy(self.folder.path, status))
        atomic.write_bytes(self.folder.lock_file, self._claim.encode())
        time.sleep(0.2)  # of several that take over at once, the last writer stays
        if not self._owns_lock():
            raise JobError(_busy(self.folder.path, self.folder.status()))

    def _lock_is_fresh(self) -> bool:
        """A lock taken a moment ago whose owner has not written its status yet."""
        try:
            host, pid, _ = self.folder.lock_file.read_text(encoding="utf-8").split()
            age = time.time() - self.folder.lock_file.stat().st_mtime
        except (OSError, ValueError):
            return False
        alive = host != socket.gethostname() or process_exists(int(pid))
        return age < DEAD_AFTER_SECONDS and alive and int(pid) != self.folder.status().pid

    def _owns_lock(self) -> bool:
        try:
            return self.folder.lock_file.read_text(encoding="utf-8") == self._claim
        except OSError:
            return False


def process_exists(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        import ctypes

        query_limited_information, still_active = 0x1000, 259
        handle = ctypes.windll.kernel32.OpenProcess(query_limited_information, False, pid)
        if not handle:
            return False
        code = ctypes.c_ulong()
        ctypes.windll.kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(handle)
        return code.value == still_active
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _busy(path: Path, status: Status) -> str:
    return (
        f"{path} is being worked on by process {status.pid} on {status.host or 'another machine'}. "
        f"Wait for it, stop it with 'medsegtrainer stop {path}', or choose another folder."
    )
