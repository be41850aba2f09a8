"""Runs a job and prints how much memory its process needed at most, in bytes.

python measured_run.py JOB
"""

from __future__ import annotations

import sys
from pathlib import Path

from MedSegTrainerLib.jobs.run import run_job


def peak_memory() -> int:
    """Bytes of this process's largest resident set."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux counts the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
    print(peak_memory())
