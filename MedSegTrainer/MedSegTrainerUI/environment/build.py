"""Makes, tests and removes the environment with PyTorch, in a process of its own: ``python -m`` this file.

The folder of the environment has the form of a job folder (``status.json``, ``events.jsonl``, ``log.txt``, ``stop``),
so that the panel only reads it. What was reached is noted last: ``built.json`` when all packages are in,
``tested.json`` when the self-test passed. Without them the folder was interrupted, and the environment is made anew;
downloads of an interrupted build are kept. Only the standard library is imported; Slicer's own Python is not changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerUI import library_path as library  # noqa: F401  (the next imports find the library)

# isort: split


from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.events import EventLog, Failed, Finished, Started, Stopped, Warned
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerUI.environment.build_messages import (
    expected_size,
    failure_text,
    free_bytes,
    full_disk_text,
    has_nvidia,
)
from MedSegTrainerUI.environment.build_packages import install
from MedSegTrainerUI.environment.build_texts import read_catalogue
from MedSegTrainerUI.environment.build_texts import translated as _
from MedSegTrainerUI.environment.builder import Builder, BuildError, Interrupted, size_of
from MedSegTrainerUI.environment.test_record import identity, read_json, record_name, requirements_hash, venv_python

REMOVED = "environment-removed-"  # an environment is renamed at once, and deleted when there is time


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
        tool = install(builder, python)
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
    builder.stage("test", _("Testing: one step of a training"), 0.9)
    report_file = builder.root / "self-test.json"
    report_file.unlink(missing_ok=True)
    command = [str(python), "-m", "MedSegTrainerLib", "self-test", "--device", options.device, "--json"]
    code, said = builder.try_run([*command, str(report_file)], cwd=options.library)
    report = read_json(report_file)
    report_file.unlink(missing_ok=True)
    if code != 0 or not report.get("ok"):
        raise BuildError(report.get("message") or test_message(python, code, said))
    for text in report["warnings"]:
        builder.events(Warned(message=text))
    requirements = read_json(builder.root / "built.json").get("requirements")
    record = {**identity(python), "requirements": requirements, "report": report}
    atomic.write_json(record_file, record)
    return str(report["message"])


def test_message(python: Path, code: int, said: str) -> str:
    """Why a self-test ended without a report."""
    if code == 127:
        text = _("{python} cannot be started ({said}). Choose a Python interpreter (python.exe, or bin/python).")
        return text.format(python=python, said=said)
    for line in reversed(said.splitlines()):
        if line.startswith("ModuleNotFoundError: No module named "):
            name = line.rsplit("'", 2)[-2].split(".")[0]
            return _(
                "The Python {python} lacks the package {name}. Choose another one, press Set up or Repair, or install "
                "the packages of requirements.txt in it."
            ).format(python=python, name=name)
        if line.startswith(("SyntaxError", "ImportError", "TypeError")):
            text = _("The Python {python} is too old or damaged ({line}). Python 3.10 or newer is needed.")
            return text.format(python=python, line=line)
    return failure_text(_("The self-test"), code, said)


def _check_space(builder: Builder) -> None:
    options = builder.options
    builder.stage("check", _("Looking for space on the disk"), 0.0)
    needed = expected_size(has_nvidia()).disk if options.needed is None else options.needed
    free = free_bytes(builder.root) + size_of(builder.root)  # what is there is replaced, or is a download to be used
    if free < needed:
        raise BuildError(full_disk_text(builder.root, needed, free))


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
            events(Stopped(how="now", message=_("Stopped.")))
            owner.update(state="stopped", message=_("Stopped. What was loaded already is kept."))
            return 0
        except (MedSegError, OSError) as error:
            message = str(error)
        except Exception as error:
            traceback.print_exc()
            message = _("An error that should not happen: {error}. Please report it with the log.")
            message = message.format(error=f"{type(error).__name__}: {error}")
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
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install from, without a network")
    parser.add_argument("--texts", type=Path, help="catalogue (.ts) of the user's language")
    parser.add_argument("--no-uv", action="store_true", help="use venv and pip")
    options = parser.parse_args(arguments)
    for name in ("folder", "library", "requirements", "wheels"):  # the tools work in the environment's folder
        path = getattr(options, name)
        setattr(options, name, path and path.absolute())
    if options.texts is not None:
        read_catalogue(options.texts)
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
