"""Processes that outlive whoever starts them, and how one is ended together with its children.

Slicer's ``PythonSlicer`` is a launcher: the Python that works is its child, and must die with it.
Only the standard library is imported.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MedSegTrainerLib.processes import process_exists

GRACE_SECONDS = 5.0  # between the request to end and the end
# of another Python, which the new one would follow
PYTHON_VARIABLES = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONNOUSERSITE",
    "PYTHONEXECUTABLE",
    "__PYVENV_LAUNCHER__",
    "VIRTUAL_ENV",
)

_children: list[subprocess.Popen[bytes]] = []


def start_detached(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """A process with its own group and no window; what it prints is appended to ``log``. Raises OSError."""
    with log.open("ab") as stream:
        child = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            **detached(),
        )
    keep(child)
    return child


def keep(child: subprocess.Popen[bytes]) -> None:
    """Has ``reap`` look after a child; a dead one that nobody waits for counts as living on POSIX."""
    _children.append(child)


def reap() -> None:
    """Forgets the children that ended; never waits."""
    _children[:] = [child for child in _children if child.poll() is None]


def end_process_tree(pid: int, *, force: bool = False) -> None:
    """Ends a process of ``start_detached`` and all that it started, or asks for it; does not wait.

    On Windows nothing can be asked, so both ends at once. A process that is gone is no error.
    """
    reap()
    if not process_exists(pid) and not _group_exists(pid):
        return
    if sys.platform == "win32":
        taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe"
        command = [str(taskkill), "/PID", str(pid), "/T", "/F"]
        keep(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **detached()))
        return
    sent = signal.SIGKILL if force else signal.SIGTERM
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        group = pid  # the first of a group can be gone while the others live
    try:
        if group == os.getpgrp():  # not started by start_detached: its group is the caller's too
            os.kill(pid, sent)
        else:
            os.killpg(group, sent)
    except (ProcessLookupError, PermissionError):
        pass


class TreeEnd:
    """The end of a process tree: asked for at once, forced after ``GRACE_SECONDS``; ``poll`` it by a timer."""

    def __init__(self, pid: int, grace: float = GRACE_SECONDS) -> None:
        self.pid, self._deadline = pid, time.monotonic() + grace
        end_process_tree(pid)

    def poll(self) -> bool:
        """Whether nothing of it is left; never waits."""
        reap()
        if not process_exists(self.pid) and not _group_exists(self.pid):
            return True
        if time.monotonic() > self._deadline:
            end_process_tree(self.pid, force=True)
        return False


def without_python_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` for a Python that is not the one whose variables are in it."""
    return {
        **{name: value for name, value in environment.items() if name.upper() not in PYTHON_VARIABLES},
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def detached() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _group_exists(pid: int) -> bool:
    """Whether a process of the group that ``pid`` began is left; Windows has no such groups."""
    if sys.platform == "win32" or pid <= 0:
        return False
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return sys.platform != "darwin"  # macOS says so of a group of dead processes
    return True
