"""A process that leaves the computer to whoever sits at it; standard library only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

NICENESS = 10  # of 19


def below_normal() -> int:
    """Flags for starting such a process on Windows; 0 elsewhere, where ``step_back`` does it."""
    if sys.platform == "win32":
        return subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return 0


def step_back(pid: int) -> None:
    """Lets others go first on Linux and macOS; what the system does not allow stays as it is."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with contextlib.suppress(OSError):  # Linux with a desktop shares its time between sessions, and this is one
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), encoding="ascii")
