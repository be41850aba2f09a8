"""Where PyTorch lives: an environment of its own, or a Python of the user's; and whether it passed the self-test.

Building, testing and removing happen in another process (``build.py``) that writes into the
environment's folder; ``poll`` reads it and takes no time. Training starts only with an interpreter that was tested.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import STOP_NOW, JobFolder
from MedSegTrainerLib.job_status import ACTIVE_STATES, Status
from MedSegTrainerUI.environment.build_messages import expected_size, free_bytes, gigabytes, has_nvidia
from MedSegTrainerUI.environment.build_texts import catalogue_path
from MedSegTrainerUI.environment.build_tools import STARTUP_VARIABLE
from MedSegTrainerUI.environment.test_record import identity, read_json, record_name, requirements_hash, venv_python
from MedSegTrainerUI.jobs.process import TreeEnd, detached, keep, reap, start_detached, without_python_variables

MODULE_FOLDER = Path(__file__).resolve().parents[2]
TRANSLATIONS = MODULE_FOLDER / "Resources" / "Translations"
LIBRARY_FOLDER = Path(atomic.__file__).resolve().parent.parent
STOP_SECONDS = 20.0  # that a build is given to end by itself
FULL_BYTES = 100_000_000  # less free space than this explains why a build ended without a word
STATES = ("busy", "ready", "new", "stopped", "changed", "failed")


class Environment:
    """``state``: one of STATES; 'new' was never set up, 'changed' is not what was tested any more."""

    def __init__(self, root: Path | None = None, requirements: Path | None = None, options: Sequence[str] = ()) -> None:
        """root: folder of all that MedSegTrainer keeps; requirements, options: of the build, for tests."""
        home = slicer.util.settingsValue("MedSegTrainer/Folder", "") or str(Path.home() / "MedSegTrainer")
        self.folder = (root or Path(home)) / "environment"
        self.job = JobFolder(self.folder)
        self.requirements = requirements or MODULE_FOLDER / "Resources" / "requirements.txt"
        self.options = tuple(options)
        self.status = Status()
        self.report: dict[str, Any] = {}
        self.state, self.problem = "new", ""
        self._child: subprocess.Popen[bytes] | None = None
        self._stop_at: float | None = None
        self._end: TreeEnd | None = None
        self.poll()

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    @property
    def busy(self) -> bool:
        return self.state == "busy"

    @property
    def stopping(self) -> bool:
        return self._stop_at is not None

    @property
    def python(self) -> str | None:
        """The tested interpreter."""
        return str(self.interpreter) if self.ready else None

    @property
    def own_python(self) -> Path:
        return venv_python(self.folder / "venv")

    @property
    def chosen(self) -> str:
        """The user's own interpreter; '' where the environment made here is used."""
        return str(slicer.util.settingsValue("MedSegTrainer/Python", "") or "")

    @property
    def interpreter(self) -> Path:
        return Path(self.chosen) if self.chosen else self.own_python

    @property
    def wheels(self) -> str:
        """The folder of wheels that the environment is made from, without a network; '' where they are downloaded."""
        return str(slicer.util.settingsValue("MedSegTrainer/Wheels", "") or "")

    @property
    def asked_device(self) -> str:
        return str(slicer.util.settingsValue("MedSegTrainer/Device", "auto") or "auto")

    @property
    def device(self) -> str:
        """What to write into a job: the user's choice, or the CPU where the GPU did not pass the test."""
        if self.asked_device == "auto" and self.report.get("device") == "cpu" and len(self.devices()) > 1:
            return "cpu"
        return self.asked_device

    def devices(self) -> list[dict[str, Any]]:
        """{'name', 'description'} of what the self-test found."""
        return list(self.report.get("devices", []))

    @property
    def warnings(self) -> list[str]:
        """What a passed self-test wants to be known, such as a fall to the CPU."""
        return list(self.report.get("warnings", [])) if self.ready else []

    def describe(self) -> str:
        """One line: what was tested, or what is missing and what setting it up will load."""
        if self.ready:
            return _("{what}: tested, ok").format(what=report_text(self.report))
        if self.state == "new":
            size = expected_size(has_nvidia())
            if self.wheels:
                return _(
                    "PyTorch is not set up yet. Set up takes it from the folder {wheels}, without Internet, and needs "
                    "about {disk} in {folder}. Slicer itself is not changed."
                ).format(wheels=self.wheels, disk=gigabytes(size.disk), folder=self.folder)
            what = _("PyTorch for NVIDIA GPUs") if has_nvidia() else _("PyTorch")
            return _(
                "{what} is not set up yet. Set up downloads about {download} and takes {disk} in {folder}. "
                "Slicer itself is not changed."
            ).format(what=what, download=gigabytes(size.download), disk=gigabytes(size.disk), folder=self.folder)
        return self.problem

    def start(self, folder: JobFolder) -> subprocess.Popen[bytes]:
        """Starts a job in a process that outlives Slicer, its subprocess.Popen; raises JobError where none can be."""
        self.poll()
        if not self.ready:
            raise JobError(self.problem)
        try:
            process = folder.start(str(self.interpreter), environment=startup_environment(), behind=True)
        except OSError as error:
            raise self._not_started(error) from None
        keep(process)
        return process

    def start_command(self, arguments: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Starts a command of the library, such as ``support``, which prints into ``output``; raises JobError."""
        if not self.ready:
            raise JobError(self.problem)
        command = [str(self.interpreter), "-m", "MedSegTrainerLib", *arguments]
        try:
            process = subprocess.Popen(
                command,
                cwd=LIBRARY_FOLDER,
                env=startup_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **detached(),
            )
        except OSError as error:
            raise self._not_started(error) from None
        keep(process)
        return process

    def _not_started(self, error: OSError) -> JobError:
        text = _("{python} cannot be started: {error}. Press Test under Environment.")
        return JobError(text.format(python=self.interpreter, error=error.strerror or error))

    def set_up(self, *, anew: bool = False) -> None:
        """Builds the environment where it is not complete, or ``anew``, and tests it; the chosen Python is left."""
        self._set("MedSegTrainer/Python", "")
        options = [*(["--anew"] if anew else []), *(["--wheels", self.wheels] if self.wheels else []), *self.options]
        self._launch("build", "--requirements", str(self.requirements), *options)

    def test(self) -> None:
        if not self.interpreter.exists():
            raise JobError(self.problem)
        self._launch("test", "--python", str(self.interpreter))

    def stop(self) -> None:
        """Asks the build to end; one that does not is ended by ``poll``."""
        if self.busy and self._stop_at is None:
            self.job.request_stop(STOP_NOW)
            self._stop_at = time.monotonic() + STOP_SECONDS

    def remove(self) -> None:
        """Takes the environment away at once; its files are deleted by another process, which takes longer."""
        self._refuse_while_busy()
        if self.folder.exists():
            removed = self.folder.with_name(f"environment-removed-{secrets.token_hex(4)}")
            try:
                self.folder.rename(removed)
            except OSError as error:
                raise JobError(
                    _("{folder} is in use ({error}). Stop the training that uses it, then remove it again.").format(
                        folder=self.folder, error=error.strerror or error
                    )
                ) from None
            self._run("remove", removed, Path(os.devnull))
        self.poll()

    def choose(self, python: str) -> None:
        """Uses an existing interpreter, '' the environment made here; it must pass the test before a training."""
        self._refuse_while_busy()
        self._set("MedSegTrainer/Python", python)
        self.job.status_file.unlink(missing_ok=True)  # it tells how it went with the other one
        self.poll()

    def choose_wheels(self, folder: str) -> None:
        """Makes the environment from a folder of wheels the next time, '' from the Internet."""
        self._refuse_while_busy()
        self._set("MedSegTrainer/Wheels", folder)

    def set_device(self, name: str) -> None:
        self._set("MedSegTrainer/Device", name)
        self.poll()

    def poll(self) -> bool:
        """Reads how things stand; whether ``state`` changed. Asks only for small files."""
        reap()
        before = self.state
        self.status = self.job.status()
        alive = self.status.is_alive() and not self._died_unheard()
        python = self.interpreter
        record = read_json(self.folder / record_name(self.folder / "venv", python))
        report = record.get("report")
        self.report = report if isinstance(report, dict) else {}
        self.state, self.problem = ("busy", _("PyTorch is being set up. Training can start when that is done."))
        if not alive:
            self._stop_at = self._end = None
            self.state, self.problem = self._judge(python, record)
        elif self._stop_at is not None and time.monotonic() > self._stop_at:
            self._end = self._end or TreeEnd(self._working_pid())
            self._end.poll()
        return self.state != before

    def _judge(self, python: Path, record: dict[str, Any]) -> tuple[str, str]:
        if self.status.state in ACTIVE_STATES and self.job.stop_requested():  # it had to be forced
            return "stopped", _("Stopped. What was loaded already is kept.")
        if self.status.state in ACTIVE_STATES:
            return "failed", self._died_text()
        if not python.exists():
            if self.chosen:
                text = _("The Python {path} is not there. Choose another one, or press Set up.").format(path=python)
                return "failed", text
            if self.status.state in ("failed", "stopped"):
                return self.status.state, self.status.message
            if (self.folder / "built.json").exists():
                return "failed", _("The environment is damaged: its Python is gone. Press Repair.")
            return "new", _("PyTorch is not set up yet. Press Set up in the section Environment.")
        changed = self._changed(python, record) if record else ""
        if record and not changed:
            return "ready", ""
        if self.status.state in ("failed", "stopped"):
            return self.status.state, self.status.message
        if changed:
            return "changed", changed
        return "changed", _("The Python {path} has not been tested. Press Test.").format(path=python)

    def _changed(self, python: Path, record: dict[str, Any]) -> str:
        """Why what was tested counts no more; '' where it does."""
        now = identity(python)
        if record.get("library") != now["library"]:
            return _("MedSegTrainer was updated to {version}. Press Test in the section Environment.").format(
                version=__version__
            )
        if not self.chosen and record.get("requirements") != requirements_hash(self.requirements):
            return _("This version of MedSegTrainer needs other packages. Press Set up in the section Environment.")
        if record.get("times") != now["times"]:
            return _(
                "The packages of {path} were changed since they were tested. Press Test, or Repair if it fails."
            ).format(path=python)
        if self.report.get("asked") != self.asked_device:
            return _("The device {name} has not been tested. Press Test in the section Environment.").format(
                name=self.asked_device
            )
        return ""

    def _died_unheard(self) -> bool:
        """Whether the process that was started ended before it could write that it had begun."""
        return self.status.pid == os.getpid() and (self._child is None or self._child.poll() is not None)

    def _died_text(self) -> str:
        if free_bytes(self.folder) < FULL_BYTES:
            return _("Setting up ended because the disk is full. Free some space, then press Repair.")
        return _("Setting up was interrupted. Press Repair: what was loaded already is kept.")

    def _working_pid(self) -> int:
        if self.status.pid == os.getpid() and self._child is not None:  # it has written nothing yet
            return self._child.pid
        return self.status.pid

    def _refuse_while_busy(self) -> None:
        self.poll()
        if self.busy:
            raise JobError(_("PyTorch is being set up or tested. Wait for the end, or press Stop."))

    def _launch(self, action: str, *arguments: str) -> None:
        self._refuse_while_busy()
        with atomic.storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in (self.job.lock_file, self.job.stop_file, self.job.events_file, self.job.log_file):
                old.unlink(missing_ok=True)
        # of this process, until the other one writes its own
        status = Status(
            state="starting",
            kind="environment",
            host=socket.gethostname(),
            pid=os.getpid(),
            heartbeat=time.time(),
            message=_("Starting"),
        )
        atomic.write_json(self.job.status_file, asdict(status))
        device = ["--device", self.asked_device]
        self._child = self._run(action, self.folder, self.job.log_file, *device, *arguments)
        self.poll()

    def _run(self, action: str, folder: Path, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        command = [slicer_python(), "-m", "MedSegTrainerUI.environment.build", action, "--folder", str(folder)]
        command += ["--library", str(LIBRARY_FOLDER), *arguments]
        texts = catalogue_path(TRANSLATIONS, slicer.app.applicationLocaleName)
        command += ["--texts", str(texts)] if texts is not None else []
        try:
            return start_detached(command, cwd=MODULE_FOLDER, environment=builder_environment(), log=log)
        except OSError as error:
            self.job.status_file.unlink(missing_ok=True)
            raise JobError(
                _("{python} cannot be started: {error}. Install Slicer again.").format(
                    python=command[0], error=error.strerror or error
                )
            ) from None

    def _set(self, key: str, value: str) -> None:
        qt.QSettings().setValue(key, value)


def report_text(report: dict[str, Any]) -> str:
    """``PyTorch 2.13, CUDA 13, RTX 4070 (12 GB)``."""
    version = re.match(r"\d+\.\d+", str(report.get("torch", "")))
    parts = [f"PyTorch {version[0] if version else ''}".strip()]
    if report.get("cuda") and str(report.get("device", "")).startswith("cuda"):
        parts.append(f"CUDA {str(report['cuda']).removesuffix('.0')}")
    name = str(report.get("device_name", ""))
    parts.append(name.replace("NVIDIA ", "").replace("GeForce ", ""))
    return ", ".join(filter(None, parts))


def slicer_python() -> str:
    """Slicer's interpreter: a launcher on every system."""
    return shutil.which("PythonSlicer") or sys.executable


def startup_environment() -> dict[str, str]:
    """The variables Slicer itself was started with, for a Python that is not Slicer's."""
    return without_python_variables(slicer.util.startupEnvironment())


def builder_environment() -> dict[str, str]:
    """Those variables, and beside them what the launcher of Slicer's Python will change, for the tools it starts."""
    clean = dict(slicer.util.startupEnvironment())
    names = {name.upper() if os.name == "nt" else name: value for name, value in clean.items()}
    changed = {name: names.get(name) for name in {*os.environ, *names} if os.environ.get(name) != names.get(name)}
    return {**without_python_variables(clean), STARTUP_VARIABLE: json.dumps(changed)}
