"""Makes, tests and removes the environment with PyTorch, in a process of its own: ``python -m`` this file.

The folder of the environment has the form of a job folder (``status.json``, ``events.jsonl``, ``log.txt``, ``stop``),
so that the panel only reads it. What was reached is noted last: ``built.json`` when all packages are in,
``tested.json`` when the self-test passed. Without them the folder was interrupted, and the environment is made anew;
downloads of an interrupted build are kept. Only the standard library is imported; Slicer's own Python is not changed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerUI import library  # noqa: F401  (the next imports find the library)

# isort: split


from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.events import EventLog, Failed, Finished, Progress, Stage, Started, Stopped, Warned
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerUI.build_tools import own_folders, system_pythons, tool_environment
from MedSegTrainerUI.build_words import (
    DISK_IS_FULL,
    NOT_ALLOWED,
    expected_size,
    failure_words,
    free_bytes,
    full_disk_words,
    gigabytes,
    has_nvidia,
)
from MedSegTrainerUI.environment_record import identity, read_json, record_name, requirements_hash, venv_python
from MedSegTrainerUI.process import detached, end_process_tree

PYTHONS = ("3.12", ">=3.10,<3.15")  # what uv is asked for; the second where the first is not there and cannot be loaded
UV = Path(__file__).resolve().parents[1] / "Resources" / "uv.txt"  # the installer's version and hashes
HASHES = "hashes.txt"  # beside the requirements
OLDEST_UV = (0, 7)  # the first that picks the PyTorch for the GPU
REMOVED = "environment-removed-"  # an environment is renamed at once, and deleted when there is time
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
        self._counted = 0.0

    def stage(self, name: str, message: str, progress: float) -> None:
        self.events(Stage(name=name, message=message))
        self.owner.update(state="running", stage=name, message=message, progress=progress)

    def run(self, what: str, command: Sequence[str], *, expected: int = 0) -> None:
        """A tool whose words go to the log; raises BuildError in words. expected: bytes that it puts in the folder."""
        code, said = self.try_run(command, expected=expected)
        if code != 0:
            raise BuildError(failure_words(what, code, said))

    def attempt(self, what: str, command: Sequence[str], *, expected: int = 0) -> bool:
        """Whether a tool did its work; raises BuildError only where no other tool could do it."""
        code, said = self.try_run(command, expected=expected)
        words = failure_words(what, code, said) if code else ""
        if words in (DISK_IS_FULL, NOT_ALLOWED):
            raise BuildError(words)
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
        told = f"Loading and unpacking packages: {gigabytes(done)} of about {gigabytes(expected)}"
        self.owner.update(progress=round(0.1 + 0.75 * done / expected, 3), message=told)

    def _said(self, begin: int) -> str:
        with self.folder.log_file.open("rb") as log:
            log.seek(max(begin, log.seek(0, os.SEEK_END) - SAID_BYTES))
            return log.read().decode(errors="replace")


def build(builder: Builder) -> str:
    """Makes the environment where it is not complete, and tests it."""
    options = builder.options
    wanted = requirements_hash(options.requirements)
    for removed in builder.root.parent.glob(f"{REMOVED}*"):  # whoever should remove it was ended
        shutil.rmtree(removed, ignore_errors=True)
    stamp = read_json(builder.root / "built.json")
    python = venv_python(builder.venv)
    if options.anew or stamp.get("requirements") != wanted or not python.exists():
        for name in ("built.json", "tested.json"):
            (builder.root / name).unlink(missing_ok=True)
        _check_space(builder)
        tool = _install(builder, python)
        stamp = {"requirements": wanted, "tool": tool, "library": __version__, "time": round(time.time())}
        atomic.write_json(builder.root / "built.json", stamp)
        for leftover in ("cache", "tmp", "uv"):
            shutil.rmtree(builder.root / leftover, ignore_errors=True)
    options.python = python
    return test(builder)


def test(builder: Builder) -> str:
    """Runs the self-test with an interpreter and notes what it saw."""
    options, python = builder.options, Path(builder.options.python)
    record_file = builder.root / record_name(builder.venv, python)
    record_file.unlink(missing_ok=True)
    builder.stage("test", "Testing: one step of a training", 0.9)
    report_file = builder.root / "self-test.json"
    report_file.unlink(missing_ok=True)
    command = [str(python), "-m", "MedSegTrainerLib", "self-test", "--device", options.device, "--json"]
    code, said = builder.try_run([*command, str(report_file)], cwd=options.library)
    report = read_json(report_file)
    report_file.unlink(missing_ok=True)
    if code != 0 or not report.get("ok"):
        raise BuildError(report.get("message") or test_words(python, code, said))
    for words in report["warnings"]:
        builder.events(Warned(message=words))
    requirements = read_json(builder.root / "built.json").get("requirements")
    record = {**identity(python), "requirements": requirements, "report": report}
    atomic.write_json(record_file, record)
    return str(report["message"])


def test_words(python: Path, code: int, said: str) -> str:
    """Why a self-test ended without a report."""
    if code == 127:
        return f"{python} cannot be started ({said}). Choose a Python interpreter (python.exe, or bin/python)."
    for line in reversed(said.splitlines()):
        if line.startswith("ModuleNotFoundError: No module named "):
            name = line.rsplit("'", 2)[-2].split(".")[0]
            return (
                f"The Python {python} lacks the package {name}. Choose another one, press Set up or Repair, or install "
                "the packages of requirements.txt in it."
            )
        if line.startswith(("SyntaxError", "ImportError", "TypeError")):
            return f"The Python {python} is too old or damaged ({line}). Python 3.10 or newer is needed."
    return failure_words("The self-test", code, said)


def _check_space(builder: Builder) -> None:
    options = builder.options
    builder.stage("check", "Looking for space on the disk", 0.0)
    needed = expected_size(has_nvidia()).disk if options.needed is None else options.needed
    free = free_bytes(builder.root) + size_of(builder.root)  # what is there is replaced, or is a download to be used
    if free < needed:
        raise BuildError(full_disk_words(builder.root, needed, free))


def _install(builder: Builder, python: Path) -> str:
    """An environment with all packages; returns the tool that made it."""
    options = builder.options
    expected = options.needed or expected_size(has_nvidia()).disk
    uv = None if options.no_uv else _find_uv(builder)
    if uv is not None and _uv_venv(builder, uv) and _uv_packages(builder, uv, python, expected):
        return "uv"
    _plain_venv(builder)
    builder.stage("packages", "Loading packages with pip", 0.1)
    pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    hashes = options.requirements.with_name(HASHES)
    if hashes.exists():  # of all but PyTorch, and pip wants those of all or of none
        known = [*pip, "--require-hashes", "--no-deps", "--requirement", str(hashes)]
        builder.run("pip", known, expected=expected)
    builder.run("pip", [*pip, "--requirement", str(options.requirements)], expected=expected)
    return "pip"


def _uv_packages(builder: Builder, uv: str, python: Path, expected: int) -> bool:
    """All packages by uv; False where pip, which may be set up for this network, should try it."""
    builder.stage("packages", "Loading packages", 0.1)
    requirements = builder.options.requirements
    command = [uv, "pip", "install", "--no-config", "--python", str(python), "-r", str(requirements)]
    hashes = requirements.with_name(HASHES)
    command += ["-r", str(hashes)] if hashes.exists() else []
    for choice, words in (
        (["--torch-backend=auto"], "The PyTorch made for this GPU could not be loaded; the usual one is tried."),
        ([], "The packages could not be loaded with uv; pip is tried."),
    ):
        if builder.attempt("uv", [*command, *choice], expected=expected):
            return True
        builder.events(Warned(message=words))
    return False


def _find_uv(builder: Builder) -> str | None:
    """The program ``uv``: of the system, or loaded into the environment's folder; None where it cannot be had."""
    found = shutil.which("uv", path=builder.environment.get("PATH"))
    if found and _uv_version(builder.try_run([found, "--version"])[1]) >= OLDEST_UV:
        return found
    builder.stage("uv", "Loading the installer (uv, 20 MB)", 0.02)
    target = builder.root / "uv"
    shutil.rmtree(target, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    # Slicer's Python needs its own variables to start at all; it gets them back for this one command
    clean, builder.environment = builder.environment, {**os.environ, **own_folders(builder.root)}
    try:
        pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(UV)]
        loaded = builder.attempt("pip", [*pip, "--target", str(target), "--no-deps", "--upgrade", *pinned])
    finally:
        builder.environment = clean
    program = target / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if loaded and program.exists():
        return str(program)
    builder.events(Warned(message="The installer uv could not be loaded; pip is used instead, which takes longer."))
    return None


def _uv_version(said: str) -> tuple[int, ...]:
    match = re.search(r"uv (\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0,)


def _uv_venv(builder: Builder, uv: str) -> bool:
    """An empty environment made by uv, which loads a Python where the computer has none; False where it cannot."""
    builder.stage("python", "Making an environment with Python 3.12", 0.05)
    _remove_tree(builder.venv)
    for version in PYTHONS:
        if builder.attempt("uv", [uv, "venv", "--no-config", "--python", version, str(builder.venv)]):
            return True
        _remove_tree(builder.venv)
    return False


def _plain_venv(builder: Builder) -> None:
    """An empty environment made by a Python of this computer; raises BuildError where there is none that can."""
    builder.stage("python", "Making an environment with the Python of this computer", 0.05)
    _remove_tree(builder.venv)
    words = (
        "No Python was found that could be used, and none could be loaded. Check the connection to the Internet and "
        "press Repair, or install Python 3.12 from python.org, or choose an existing Python."
    )
    for base in system_pythons(builder.environment):
        code, said = builder.try_run([base, "-I", "-m", "venv", str(builder.venv)])
        if code == 0:
            return
        words = failure_words("Making the environment", code, said)
        if words == DISK_IS_FULL:
            break
        _remove_tree(builder.venv)
    raise BuildError(words)


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


def _remove_tree(path: Path) -> None:
    """Removes a folder; raises StorageError where a program uses it."""
    if path.exists():
        with atomic.storage_errors(path):
            shutil.rmtree(path)


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


def work(options: argparse.Namespace) -> int:
    """Does what was asked for in the environment's folder; how it went stands in its files."""
    folder = JobFolder(options.folder)
    with JobOwner(folder, "environment") as owner:
        events = EventLog(folder.events_file)
        started = Started(job=options.action, host=socket.gethostname(), pid=os.getpid(), version=__version__)
        try:
            events(started)
            message = ACTIONS[options.action](Builder(options, owner, events))
            events(Finished(message=message, result=str(options.python)))
            owner.update(state="finished", message=message, progress=1.0)
            return 0
        except Interrupted:
            events(Stopped(how="now", message="Stopped."))
            owner.update(state="stopped", message="Stopped. What was loaded already is kept.")
            return 0
        except (MedSegError, OSError) as error:
            message = str(error)
        except Exception as error:
            traceback.print_exc()
            message = (
                f"An error that should not happen: {type(error).__name__}: {error}. Please report it with the log."
            )
        print(message, file=sys.stderr)
        shutil.rmtree(folder.path / "tmp", ignore_errors=True)  # on a full disk this makes room for the next lines
        try:
            events(Failed(message=message, error="BuildError", exit_code=1))
        finally:
            owner.update(state="failed", message=message)
        return 1


def remove(folder: Path) -> int:
    """Removes what the panel renamed; it may take a while, and nobody waits for it."""
    shutil.rmtree(folder, ignore_errors=True)
    return 0


ACTIONS = {"build": build, "test": test}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="build_environment", description="The environment with PyTorch.")
    parser.add_argument("action", choices=[*ACTIONS, "remove"])
    parser.add_argument("--folder", type=Path, required=True, help="of the environment")
    parser.add_argument("--library", type=Path, help="folder that holds MedSegTrainerLib")
    parser.add_argument("--requirements", type=Path, help="packages to install")
    parser.add_argument("--python", type=Path, help="interpreter to test")
    parser.add_argument("--device", default="auto", help="to test: auto, cpu, cuda:0, ...")
    parser.add_argument("--needed", type=int, help="bytes that must be free; by default what PyTorch takes here")
    parser.add_argument("--anew", action="store_true", help="also where it is complete")
    parser.add_argument("--no-uv", action="store_true", help="use venv and pip")
    options = parser.parse_args(arguments)
    options.folder = options.folder.absolute()
    if options.action == "remove":
        return remove(options.folder)
    try:
        with atomic.storage_errors(options.folder):
            options.folder.mkdir(parents=True, exist_ok=True)
        return work(options)
    except MedSegError as error:  # also a full disk, on which not even the status can be written
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
