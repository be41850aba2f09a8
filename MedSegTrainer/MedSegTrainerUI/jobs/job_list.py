"""The jobs on this computer: folders beside each other, one a job."""

from __future__ import annotations

import math
import re
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.errors import JobError, MedSegError
from MedSegTrainerLib.files.json_input import parse_json, read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_status import ACTIVE_STATES

LONGEST_NAME = 60
CACHE = "cache"  # the folder beside the jobs that they share
LONGEST_HEADER = 1 << 24
UNTIL_STOP_SECONDS = 100 * 3600  # nobody chooses that long a budget: it stands for "until I stop"


class JobList:
    """The folder that holds the jobs; it need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @property
    def cache(self) -> Path:
        """Where the trainings keep the cases that they have prepared; it need not exist yet."""
        return self.root / CACHE

    def folder(self, name: str) -> JobFolder:
        return JobFolder(self.root / name)

    def new(self, name: str) -> JobFolder:
        """A folder that is not there yet, named like ``name`` as far as every file system can; nothing is written."""
        base = safe_name(name)
        number = 1
        while (path := self.root / (base if number == 1 else f"{base}-{number}")).exists() or path == self.cache:
            number += 1
        return JobFolder(path)

    def all(self) -> list[JobFolder]:
        """Newest first; folders that hold no job are not among them."""
        try:
            job_files = [(path.stat().st_mtime_ns, path.parent) for path in self.root.glob("*/job.json")]
        except OSError:
            return []
        return [
            JobFolder(path) for _ns, path in sorted(job_files, key=lambda item: (item[0], item[1].name), reverse=True)
        ]

    def removable(self, folder: JobFolder) -> Path:
        """The job's own folder; raises JobError where it is none of this list, a link, or a process works on it."""
        path = folder.path.resolve()
        if path != self.root.resolve() / folder.path.name or not folder.job_file.exists():
            text = _("{path} is no job of this list. Remove it with the file manager if you want to.")
            raise JobError(text.format(path=folder.path))
        if folder.status().is_alive():
            raise JobError(_("{name} is still running. Stop it first, then remove it.").format(name=path.name))
        return path

    def remove(self, folder: JobFolder) -> None:
        """Deletes a job with all its files; raises JobError where a process works on it or files cannot be deleted."""
        path = self.removable(folder)
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise JobError(not_removed(path, error)) from None


def not_removed(path: Path, error: OSError) -> str:
    return _(
        "{name} could not be removed: {error}. Close whatever shows its files, such as the report, and remove it again."
    ).format(name=path.name, error=error.strerror or error)


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """A job in a line. ``state`` as in ``Status``, or died; ``dice``: of the best model; seconds since 1970.
    started_from: name of the training in the same folder that it began as, '' for none."""

    name: str
    kind: str
    state: str
    classes: tuple[str, ...]
    dice: float | None
    created: float
    started_from: str = ""


class JobSummaries:
    """Summaries that are read again only where ``status.json`` has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, JobSummary]] = {}

    def read(self, folders: Iterable[JobFolder], most: int) -> tuple[list[JobSummary], bool]:
        """Those of ``folders`` in their order, ``most`` of them read new; and whether they are all."""
        summaries: list[JobSummary] = []
        for folder in folders:
            stamp = _stamp(folder.status_file), _stamp(folder.plan_file)
            cached = self._known.get(folder.path)
            if cached is None or cached[0] != stamp or cached[1].state in ACTIVE_STATES:
                fresh = cached is None or cached[0] != stamp
                if fresh and not most:
                    return summaries, False
                most -= fresh
                cached = stamp, summarize(folder)
                self._known[folder.path] = cached
            summaries.append(cached[1])
        return summaries, True


def summarize(folder: JobFolder) -> JobSummary:
    """Reads what is needed for a line; a broken job is ``failed``."""
    status = folder.status()
    state = "died" if status.state in ACTIVE_STATES and not status.is_alive() else status.state
    model = Path()
    try:
        document = folder.read_document()
        kind, model = str(document.get("kind")), Path(start_model(document))
        created = folder.job_file.stat().st_mtime
    except (MedSegError, OSError):
        kind, created, state = status.kind, 0.0, "failed"
    names = tuple(item["name"] for item in job_classes(folder))
    model = model.parent if model.name == "model" else model
    return JobSummary(
        name=folder.path.name,
        kind=kind,
        state=state,
        classes=names,
        dice=status.best,
        created=created,
        started_from=model.name if model.parent == folder.path.parent else "",
    )


def job_classes(folder: JobFolder) -> list[dict[str, Any]]:
    """Classes of a training: each with value, name, color (RGB, 0-255) and terminology. From its plan, or its cases."""
    for path in (folder.plan_file, folder.path / "data" / "cases.json"):
        try:
            classes = read_json_file(path, JobError)["classes"]
            complete = [{"terminology": "", **item, "color": tuple(item["color"])} for item in classes]
            if all(map(_is_class, complete)):
                return complete
        except (OSError, JobError, KeyError, TypeError):
            continue
    return []


def start_model(document: dict[str, Any]) -> str:
    """Path of the model that a training started from, '' for none; ``document`` is that of ``job.json``."""
    try:
        return str(document["config"]["start"]["model"])
    except (KeyError, TypeError):  # of an earlier version, or another kind
        return ""


def has_no_end(document: dict[str, Any]) -> bool:
    """Whether the training of this ``job.json`` goes on until somebody stops it."""
    try:
        return parse_duration(document["config"]["trainer"]["budget"]) >= UNTIL_STOP_SECONDS
    except (KeyError, TypeError, AttributeError, MedSegError):
        return False


def safe_name(name: str) -> str:
    """Letters, digits, ``-`` and ``_`` of the Latin alphabet: no file system and no image reader stumbles over them."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")[:LONGEST_NAME].strip("-_") or "job"


def case_names(names: Sequence[str]) -> list[str]:
    """Names for files, all different also where capitals do not count."""
    different: list[str] = []
    for name in names:
        base, number = safe_name(name), 1
        free = base
        while free.casefold() in {other.casefold() for other in different}:
            number += 1
            free = f"{base}-{number}"
        different.append(free)
    return different


def weight_count(folder: JobFolder) -> int | None:
    """How many numbers the model of a job holds, from the header of its file; None where there is no model yet."""
    try:
        with (folder.model / "weights.safetensors").open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = parse_json(stream.read(min(size, LONGEST_HEADER)), "header", JobError)
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, JobError, KeyError, TypeError, AttributeError):
        return None


def _is_class(item: dict[str, Any]) -> bool:
    texts = fits([item.get("name"), item["terminology"]], list[str])
    color = len(item["color"]) == 3 and fits(list(item["color"]), list[int])
    return texts and color and fits(item.get("value"), int)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size
