"""The command that packs what somebody needs who is asked for help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli.options import Job
from MedSegTrainerLib.cli.shared import console
from MedSegTrainerLib.files.plain_text import plain


def support(
    job: Job,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Zip to write.  [default: JOB-support.zip]")
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="With numbers in place of paths and of the names of cases.")
    ] = False,
) -> None:
    """Pack what to send when you ask for help with a job.

    The zip holds versions, devices, settings, plan, events, log and metrics: text, and no images, pictures, label maps
    or weights. It works on a job that failed, is damaged, or still runs.
    """
    from MedSegTrainerLib.jobs.support import ANONYMOUS, CONTENT, NAMED, contents, write_support

    target = output or Path("support-anonymous.zip" if anonymous else f"{job.resolve().name}-support.zip")
    written = write_support(job, target, anonymous=anonymous)
    lines = [f"Wrote {target}:", *(f"  {line}" for line in contents(written)), CONTENT]
    for line in (*lines, ANONYMOUS if anonymous else NAMED):
        console.print(plain(line), highlight=False, markup=False)
