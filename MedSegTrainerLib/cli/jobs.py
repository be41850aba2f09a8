"""Commands about job folders."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from MedSegTrainerLib.cli.options import Devices, Job
from MedSegTrainerLib.cli.shared import STARTED, console
from MedSegTrainerLib.duration import format_duration
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.plain_text import plain
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder
from MedSegTrainerLib.job_status import ACTIVE_STATES, DEAD_AFTER_SECONDS


def status(job: Job) -> None:
    """Say how far a job is."""
    folder = JobFolder(job)
    folder.read_document()
    now = folder.status()
    alive, state = now.is_alive(), now.state
    if state == "created":
        state = "created, but nobody has started it: medsegtrainer run " + str(job)
    elif state in ACTIVE_STATES and not alive:
        again = "train --resume -o" if now.kind == "train" else "run"
        reason = "dead: its process is gone."
        if now.heartbeat > time.time() + DEAD_AFTER_SECONDS:
            reason = (
                f"unknown: its last sign of life lies in the future, a clock is wrong. See whether process {now.pid} "
                f"still works on {now.host}; if not, it is dead."
            )
        state = f"{reason} Go on with it: medsegtrainer {again} {job}"
    rows = {
        "state": state,
        "where": f"process {now.pid} on {now.host}" if alive else "",
        "epoch": f"{now.epoch} of {now.epochs}" if now.epochs else "",
        "progress": f"{min(max(now.progress, 0.0), 1.0):.0%}",
        "time left": format_duration(now.eta_seconds) if alive and now.eta_seconds is not None else "",
        "best Dice": f"{now.best:.4f}" if now.best is not None else "",
        "message": now.message,
    }
    for name, value in rows.items():
        if value:
            console.print(f"{name:<10} {plain(value)}", highlight=False, markup=False)


def stop(
    job: Job,
    now: Annotated[bool, typer.Option("--now", help="At once, without validating the latest weights first.")] = False,
) -> None:
    """Ask a running job to stop and keep the best model."""
    folder = JobFolder(job)
    folder.read_document()
    if not folder.status().is_alive():
        raise JobError(f"Nothing to stop: no process works on {job} (state: {plain(folder.status().state)}).")
    folder.request_stop(STOP_NOW if now else STOP_KEEP_BEST)
    console.print("Asked the job to stop." if now else "Asked the job to stop and keep the best model.")


def run(
    job: Job,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing; whoever started this reads the folder.")] = False,
    devices: Devices = None,
    expect: Annotated[str | None, typer.Option(hidden=True, help="Checksum of job.json.")] = None,
) -> None:
    """Do what a job folder says, here and now.

    For schedulers and other programs; train, apply and evaluate write such a folder and then do this. torchrun may
    start it in several processes, on one machine or many that all see the folder: they share the training.
    """
    from MedSegTrainerLib.jobs.run import run_job

    outcome = run_job(job, STARTED, devices, expect)
    if not quiet:
        console.print(plain(outcome.message), highlight=False, markup=False)
