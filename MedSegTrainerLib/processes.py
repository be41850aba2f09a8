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


def process_exists(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    if not 0 < pid < 1 << 31:
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
