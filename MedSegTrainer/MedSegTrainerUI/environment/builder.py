"""Runs the tools that make an environment, in its folder: their words go to its log, what goes on to its events."""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.events import EventLog, Progress, Stage
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerUI.environment.build_messages import HOPELESS, failure_kind, failure_text, gigabytes
from MedSegTrainerUI.environment.build_texts import translated as _
from MedSegTrainerUI.environment.build_tools import tool_environment
from MedSegTrainerUI.jobs.process import detached, end_process_tree

POLL_SECONDS, SIZE_SECONDS = 0.3, 3.0
SAID_BYTES = 20_000  # of a log, in which the reason of a failure is looked for


class Interrupted(Exception):
    """Somebody pressed Stop."""


class BuildError(MedSegError):
    pass


class Builder:
    """One run on the environment's folder: runs tools, tells events, ends when it is asked to."""

    def __init__(self, options: argparse.Namespace, owner: JobOwner, events: EventLog) -> None:
        self.options, self.owner, self.events = options, owner, events
        self.folder = JobFolder(options.folder)
        self.root: Path = options.folder
        self.venv = self.root / "venv"
        self.environment = tool_environment(self.root)
        self.failed = ""  # what tools said that did not do their work, before another was tried
        self._counted = 0.0

    def stage(self, name: str, message: str, progress: float) -> None:
        self.events(Stage(name=name, message=message))
        self.owner.update(state="running", stage=name, message=message, progress=progress)

    def run(self, what: str, command: Sequence[str], *, expected: int = 0) -> None:
        """A tool whose words go to the log; raises BuildError in words. expected: bytes that it puts in the folder."""
        code, said = self.try_run(command, expected=expected)
        if code != 0:
            raise BuildError(failure_text(what, code, said, self.failed, folder=self.options.wheels is not None))

    def attempt(self, what: str, command: Sequence[str], *, expected: int = 0) -> bool:
        """Whether a tool did its work; raises BuildError only where no other tool could do it."""
        code, said = self.try_run(command, expected=expected)
        if code != 0:
            if failure_kind(said) in HOPELESS:
                raise BuildError(failure_text(what, code, said))
            self.failed += said
        return code == 0

    def try_run(self, command: Sequence[str], *, expected: int = 0, cwd: Path | None = None) -> tuple[int, str]:
        """Exit code of a tool and what it said; 127 where it cannot be started. Raises Interrupted and StorageError."""
        with atomic.storage_errors(self.folder.log_file), self.folder.log_file.open("ab") as log:
            log.write(("\n> " + subprocess.list2cmdline(command) + "\n").encode())
            log.flush()
            begin = log.tell()
            try:
                child = subprocess.Popen(
                    list(command),
                    cwd=cwd or self.root,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    **detached(),
                )
            except OSError as error:
                return 127, f"{command[0]}: {error.strerror or error}"
        try:
            while child.poll() is None:
                if self.folder.stop_requested():
                    raise Interrupted
                self._count(expected)
                time.sleep(POLL_SECONDS)
        finally:
            _end(child)
        return child.returncode, self._said(begin)

    def _count(self, expected: int) -> None:
        """How much is on the disk by now, against what is expected: the tools tell nothing that can be added up."""
        if not expected or time.monotonic() < self._counted + SIZE_SECONDS:
            return
        done = min(size_of(self.root), expected)
        self._counted = time.monotonic()
        self.events(Progress(done=done, total=expected))
        progress_text = _("Loading and unpacking packages: {done} of about {expected}")
        progress_text = progress_text.format(done=gigabytes(done), expected=gigabytes(expected))
        self.owner.update(progress=round(0.1 + 0.75 * done / expected, 3), message=progress_text)

    def _said(self, begin: int) -> str:
        with self.folder.log_file.open("rb") as log:
            log.seek(max(begin, log.seek(0, os.SEEK_END) - SAID_BYTES))
            return log.read().decode(errors="replace")


def size_of(folder: Path) -> int:
    """Bytes of all files below, those with several names counted once; what vanishes meanwhile is left out."""
    total, seen = 0, set()
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif (status := entry.stat(follow_symlinks=False)).st_nlink < 2 or status.st_ino not in seen:
                        seen.add(status.st_ino)
                        total += status.st_size
        except OSError:
            continue
    return total


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a tool that still runs, with all that it started; waits for it."""
    if child.poll() is not None:
        return
    end_process_tree(child.pid)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        end_process_tree(child.pid, force=True)
        child.wait()
