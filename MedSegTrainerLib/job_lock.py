"""Who has a job folder: its lock, whether that process still lives, and the error for another one."""

from __future__ import annotations

import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job_status import ACTIVE_STATES, DEAD_AFTER_SECONDS, HEARTBEAT_SECONDS, Status
from MedSegTrainerLib.processes import process_exists

logger = logging.getLogger(__name__)

TAKEOVER_SECONDS = 0.2  # in which another process that takes over at the same time has written its claim
SMALL_FILE = 1000  # bytes; the lock and the request to stop are shorter


class LockedFolder(Protocol):
    """What of a job folder its lock needs."""

    @property
    def path(self) -> Path: ...

    @property
    def lock_file(self) -> Path: ...

    def status(self) -> Status: ...


class JobLock:
    """The lock of a job folder: a file that holds host, process and moment of the one process that has it.

    wait: lets so many seconds pass.
    """

    def __init__(self, folder: LockedFolder, wait: Callable[[float], None] = time.sleep) -> None:
        self.folder, self._wait = folder, wait
        self._claim = f"{socket.gethostname()} {os.getpid()} {time.time_ns()}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises JobError while a living process has it; that of a dead one is taken over."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        try:
            with self.folder.lock_file.open("x", encoding="utf-8") as stream:
                stream.write(self._claim)
            return
        except FileExistsError:
            pass
        except OSError as error:
            raise JobError(f"{self.folder.path} cannot be locked: {error.strerror}.") from None
        if self.folder.status().is_alive() or self._is_fresh() or self._beats_elsewhere():
            raise JobError(busy(self.folder))
        host, pid = _lock_owner(self.folder) or ("another machine", 0)
        atomic.write_bytes(self.folder.lock_file, self._claim.encode())
        self._wait(TAKEOVER_SECONDS)  # of several that take over at once, the last writer stays
        if not self.is_mine():
            raise JobError(busy(self.folder))
        logger.warning("Took over the lock of process %d on %s, which is gone", pid, host)

    def is_mine(self) -> bool:
        return small_text(self.folder.lock_file) == self._claim

    def release(self) -> None:
        if self.is_mine():
            self.folder.lock_file.unlink(missing_ok=True)

    def _is_fresh(self) -> bool:
        """A lock taken a moment ago whose owner has not written its status yet."""
        owner = _lock_owner(self.folder)
        try:
            locked = self.folder.lock_file.stat().st_mtime
        except OSError:
            return False
        if owner is None or abs(time.time() - locked) > DEAD_AFTER_SECONDS or self.folder.status().heartbeat > locked:
            return False
        host, pid = owner
        return host != socket.gethostname() or process_exists(pid)

    def _beats_elsewhere(self) -> bool:
        """Whether another machine, whose clock may be wrong, goes on to write heartbeats."""
        before = self.folder.status()
        if before.state not in ACTIVE_STATES or before.host in ("", socket.gethostname()):
            return False
        self._wait(2 * HEARTBEAT_SECONDS)
        return self.folder.status().heartbeat != before.heartbeat


def small_text(path: Path) -> str | None:
    """The text of a short file; None where there is none. A pipe would be waited for without end."""
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return None
            return stream.read(SMALL_FILE).decode("utf-8", errors="replace")
    except OSError:
        return None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _lock_owner(folder: LockedFolder) -> tuple[str, int] | None:
    """Host and process that the lock names."""
    fields = (small_text(folder.lock_file) or "").split()
    if len(fields) != 3 or not fields[1].isascii() or not fields[1].isdigit() or len(fields[1]) > 10:
        return None
    return fields[0], int(fields[1])


def busy(folder: LockedFolder) -> str:
    status = folder.status()
    host, pid = (status.host, status.pid) if status.is_alive() else _lock_owner(folder) or (status.host, status.pid)
    return (
        f"{folder.path} is being worked on by process {pid} on {host or 'another machine'}. Wait for it, stop it with "
        f"'medsegtrainer stop {folder.path}', or choose another folder. Where that process is gone, the folder is free "
        "a minute after its last sign of life."
    )
