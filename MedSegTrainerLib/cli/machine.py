"""The command that tries the computer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib import atomic
from MedSegTrainerLib.cli.options import Device
from MedSegTrainerLib.cli.shared import console


def self_test(
    device: Device = "auto",
    report: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was seen there.")] = None,
) -> None:
    """Check that this computer can train.

    Runs one step of a small training on the device and says what it saw; the exit code is 1 where that fails.
    """
    from MedSegTrainerLib.jobs.self_test import run_self_test

    result = run_self_test(device)
    if report is not None:
        atomic.write_json(report, asdict(result))
    for message in (*result.warnings, result.message):
        console.print(message, highlight=False, markup=False)
    if not result.ok:
        raise typer.Exit(1)
