"""One training on several devices of this machine: torchrun starts a process for each, and this one waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import JobError, TrainingError
from MedSegTrainerLib.job import STOP_KEEP_BEST, JobFolder, Outcome
from MedSegTrainerLib.job_status import ACTIVE_STATES
from MedSegTrainerLib.jobs.kinds import JOB_KINDS
from MedSegTrainerLib.jobs.termination import polite_termination

STARTED_VARIABLE = "MEDSEGTRAINER_STARTED"


def requested_devices(document: Mapping[str, Any]) -> int:
    """``trainer.devices`` of a divided job's ``job.json`` where it makes sense; whether it does is checked later."""
    config, kind = document.get("config"), JOB_KINDS.get(str(document.get("kind")))
    trainer = config.get("trainer") if kind is not None and kind.is_divided and isinstance(config, dict) else None
    devices = trainer.get("devices") if isinstance(trainer, dict) else None
    return devices if isinstance(devices, int) and devices > 1 else 1


def run_on_devices(folder: JobFolder, devices: int, started: float, expect: str) -> Outcome:
    """Runs the job in so many processes of this machine to its end, which they tell in the folder.

    ``started`` is when a time budget began to run; expect: the checksum of the job. Raises JobError where another
    process works on the folder, and TrainingError where the training failed or one of its processes died.
    """
    if folder.lock_file.exists() and folder.status().is_alive():
        raise JobError(f"{folder.path} is being worked on already. Wait for it, or choose another folder.")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices),
        "-m", "MedSegTrainerLib", "run", str(folder.path.resolve()), "--quiet", "--expect", expect,
    ]  # fmt: skip
    library = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(command, cwd=library, env=_environment(started))
    with polite_termination(folder):
        try:
            process.wait()
        except KeyboardInterrupt:  # the others got it too, and end in their own way
            process.wait()
    status = folder.status()
    if status.state in ACTIVE_STATES or (process.returncode and status.state == "created"):
        status = replace(status, state="failed", message=_died(folder, devices), eta_seconds=None)
        atomic.write_json(folder.status_file, asdict(status))
    if status.state == "failed":
        raise TrainingError(status.message)
    stopped = STOP_KEEP_BEST if status.state == "stopped" else None
    return Outcome(message=status.message, result=str(folder.model), stopped=stopped)


def _environment(started: float) -> dict[str, str]:
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # about sockets that are tried before the first process listens
    windows = {"USE_LIBUV": "0"} if sys.platform == "win32" else {}  # PyTorch is built without it there
    return {**os.environ, **quiet, **windows, STARTED_VARIABLE: repr(started)}


def _died(folder: JobFolder, devices: int) -> str:
    return (
        f"One of the {devices} processes of this training ended without a word; it may have been killed, or memory ran "
        f"out. The log: {folder.log_file}. Go on with: medsegtrainer train --resume -o {folder.path}"
    )
