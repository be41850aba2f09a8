"""One file to send when asking for help: what a job was to do, what it said, and on which computer.

Only files of known names are taken, only text, and nothing that a link leads to; images, pictures, label maps and
weights have no way in. A folder that is damaged, or that a process works on, gives what is there.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import JobError, UsageError
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.hardware.versions import versions
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.anonymous_text import anonymized

LOGS = ("log.txt", "events.jsonl")
DOCUMENTS = ("job.json", "plan.json", "settings.json", "status.json", "report/metrics.json", "report/verify.json")
LARGEST_DOCUMENT = 8 << 20  # bytes; a larger one is left out
LOG_BEGIN, LOG_END = 1 << 18, 1 << 21  # bytes of a log that are kept: versions stand at its beginning
MOST_FOLDS, MOST_BYTES = 20, 1 << 26  # of all files together
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "MEDSEGTRAINER_LOG_LEVEL",
)
CONTENT = "Text files only: no images, pictures, label maps or weights."
NAMED = (
    "Paths of files, names of cases and of this computer are inside. Look at it before you send it, or write it with "
    "--anonymous."
)
ANONYMOUS = (
    "Paths, names of cases and of this computer were replaced by numbers. A message may hold a name that nothing else "
    "in the job tells of: look at it before you send it."
)


@dataclass(frozen=True, kw_only=True)
class Support:
    """The texts that go into the zip by their names in it, and why others that are there do not."""

    members: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


class _LeftOutError(Exception):
    """Why a file is not taken."""


def write_support(folder: Path, target: Path, *, anonymous: bool = False) -> Support:
    """Writes the zip and returns what is in it.

    anonymous: with numbers in place of paths and names. Raises JobError where the folder is no job, UsageError where
    the target is there already, and StorageError where it cannot be written.
    """
    support = collect(folder)
    if anonymous:
        texts, left_out = anonymized(support.members, folder)
        support = Support(members=texts, left_out={**support.left_out, **left_out})
    readme = "\n".join([CONTENT, ANONYMOUS if anonymous else NAMED, "", *contents(support), ""])
    _write_new(target, {"README.txt": readme, **support.members})
    return support


def collect(folder: Path) -> Support:
    """What is there of a job, and of its folds; raises JobError where nothing is."""
    if not folder.is_dir():
        raise JobError(f"{folder} is not a job folder: it is {'a file' if folder.exists() else 'not there'}.")
    support = Support()
    for place in ("", *_folds(folder)):
        for name in (*DOCUMENTS, *LOGS):
            _take(folder, f"{place}{name}", support)
    if not support.members and not support.left_out:
        raise JobError(f"{folder} is not a job folder: it has no job.json, no log.txt and no events. Check the path.")
    support.members["computer.json"] = json.dumps(computer(), indent=1)
    return support


def contents(support: Support) -> list[str]:
    """A line for each file that is in the zip, and for each that is not."""
    lines = [f"{name} ({len(text.encode())} bytes)" for name, text in sorted(support.members.items())]
    return lines + [f"left out: {name}, {why}" for name, why in sorted(support.left_out.items())]


def computer() -> dict[str, Any]:
    """Versions, cores, memory, and the devices that PyTorch sees; where it cannot be loaded, why."""
    facts: dict[str, Any] = {
        "versions": versions(),
        "cores": os.cpu_count(),
        "memory_available_bytes": available_memory(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    try:
        from MedSegTrainerLib.jobs.self_test import see_machine

        machine = see_machine()
    except Exception as error:  # a damaged PyTorch, which may be what the help is needed for, fails in any way
        return {**facts, "devices": [], "problem": f"{type(error).__name__}: {error}"}
    return {**facts, "devices": machine.devices, "why_no_gpu": machine.why_no_gpu}


def _folds(folder: Path) -> list[str]:
    place = JobFolder(folder).folds
    if place.is_symlink() or not place.is_dir():
        return []
    names = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.is_symlink())
    return [f"{place.name}/{name}/" for name in names[:MOST_FOLDS]]


def _take(folder: Path, name: str, support: Support) -> None:
    try:
        content = _read(folder, name)
        if b"\0" in content:
            raise _LeftOutError("it is no text")
        if sum(map(len, support.members.values())) + len(content) > MOST_BYTES:
            raise _LeftOutError("there is too much beside it")
        support.members[name] = content.decode("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    except _LeftOutError as error:
        support.left_out[name] = str(error)
    except OSError as error:
        support.left_out[name] = f"it cannot be read: {error.strerror}"


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    path.lstat()
    if path.resolve() != folder.resolve() / name:
        raise _LeftOutError("it is a link, or lies behind one")
    with open(path, "rb", opener=_open_at_once) as stream:
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise _LeftOutError("it is no file")
        if path.name in LOGS:
            return _both_ends(stream, about.st_size)
        if about.st_size > LARGEST_DOCUMENT:
            raise _LeftOutError(f"it has {about.st_size} bytes")
        return stream.read(LARGEST_DOCUMENT)


def _open_at_once(path: str, flags: int) -> int:
    """Not through a link that was put there meanwhile, and without waiting for who writes to a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _both_ends(stream: BinaryIO, size: int) -> bytes:
    """Whole lines of the beginning and the end."""
    if size <= LOG_BEGIN + LOG_END:
        return stream.read(LOG_BEGIN + LOG_END)
    begin = stream.read(LOG_BEGIN).rpartition(b"\n")[0]
    stream.seek(size - LOG_END)
    end = stream.read(LOG_END).partition(b"\n")[2]
    return b"%s\n... %d bytes were left out here ...\n%s" % (begin, size - len(begin) - len(end), end)


def _write_new(target: Path, members: dict[str, str]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    with atomic.storage_errors(target):
        try:
            stream = target.open("xb")
        except FileExistsError:
            raise UsageError(f"{target} is there already. Choose another name with -o, or move it away.") from None
        with stream:
            stream.write(packed.getvalue())
