"""Trainings that were removed: moved into a folder beside the jobs, kept for 30 days, brought back or deleted for good.

``JOBS/.trash/NAME`` is the job's folder, ``JOBS/.trash/NAME.removed.json`` tells when it was removed and from where.
Nothing is deleted without such a record. What takes long, counting sizes and deleting, is done in small slices.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from slicer.i18n import tr as _

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerUI.jobs.job_list import JobList, not_removed

FOLDER = ".trash"
RECORD = ".removed.json"
DAYS_KEPT = 30
SECONDS_IN_DAY = 86400
FILES_AT_ONCE = 200  # looked at or deleted in one slice


@dataclass(frozen=True, kw_only=True)
class RemovedJob:
    """``name`` in the trash, ``job`` in the list before; seconds since 1970; ``size`` in bytes, None until counted."""

    name: str
    job: str
    removed: float
    size: int | None

    @property
    def days_left(self) -> int:
        return max(0, round(DAYS_KEPT - (time.time() - self.removed) / SECONDS_IN_DAY))


class JobTrash:
    """The trash of a list of jobs; it need not exist yet."""

    def __init__(self, jobs: JobList) -> None:
        self._jobs = jobs
        self.root = jobs.root / FOLDER
        self._read: tuple[int | None, list[RemovedJob]] = (None, [])
        self._slices: Iterator[None] | None = None
        self._kept_open: set[str] = set()  # could not be deleted; tried again by the next panel

    def put(self, folder: JobFolder) -> RemovedJob:
        """Moves a job here. Raises JobError where a process works on it or its files are in use; it stays then."""
        path = self._jobs.removable(folder)
        self.root.mkdir(parents=True, exist_ok=True)
        if not self._is_own():
            text = _("{folder} is a link to another folder. Remove the link: a folder is made in its place.")
            raise JobError(text.format(folder=self.root))
        removed = RemovedJob(name=self._free_name(path.name), job=path.name, removed=time.time(), size=None)
        self._write(removed, str(path))
        try:
            path.rename(self.root / removed.name)
        except OSError as error:
            self._forget(removed)
            raise JobError(not_removed(path, error)) from None
        self._slices = None
        return removed

    def items(self) -> list[RemovedJob]:
        """What can be brought back, the newest first."""
        kept = [one for one in self._records() if not _is_old(one)]
        return sorted(kept, key=lambda one: one.removed, reverse=True)

    def holds(self, removed: RemovedJob) -> bool:
        return removed.name in [one.name for one in self.items()]

    def restore(self, removed: RemovedJob) -> JobFolder:
        """Brings a job back, under another name where its own is taken. Raises JobError."""
        folder = self._jobs.folder(removed.job)
        if folder.path.exists():
            folder = self._jobs.new(removed.job)
        try:
            (self.root / removed.name).rename(folder.path)
        except OSError as error:
            text = _("{name} could not be brought back: {error}. It lies in {place}.").format(
                name=removed.job, error=error.strerror or error, place=self.root / removed.name
            )
            raise JobError(text) from None
        self._forget(removed)
        self._slices = None
        return folder

    def delete(self, removed: RemovedJob) -> None:
        """For good: it counts as too old from now on, and ``work`` deletes its files."""
        self._write(RemovedJob(name=removed.name, job=removed.job, removed=0.0, size=removed.size))
        self._slices = None

    def work(self) -> None:
        """A slice of the work: files of what is too old are deleted, sizes are counted. Raises JobError."""
        if self._slices is None:
            self._slices = self._tasks()
        for _slice in islice(self._slices, FILES_AT_ONCE):
            pass

    def _tasks(self) -> Iterator[None]:
        records = self._records()
        for one in records:
            if _is_old(one) and one.name not in self._kept_open:
                yield from self._deleted(one)
        for one in records:
            if one.size is None and not _is_old(one):
                yield from self._counted(one)

    def _deleted(self, one: RemovedJob) -> Iterator[None]:
        try:
            yield from _delete_tree(self.root / one.name)
        except FileNotFoundError:
            pass  # another Slicer deletes it, too
        except OSError as error:
            self._kept_open.add(one.name)
            self._slices = None
            text = _(
                "{name} could not be deleted: {error}. What is left of it lies in {place}; the next start of Slicer "
                "tries again."
            ).format(name=one.job, error=error.strerror or error, place=self.root / one.name)
            raise JobError(text) from None
        self._forget(one)

    def _counted(self, one: RemovedJob) -> Iterator[None]:
        size = 0
        with suppress(OSError):  # it is being brought back
            for file in _files(self.root / one.name):
                size += file.lstat().st_size
                yield
            if self._record(one).exists():
                self._write(RemovedJob(name=one.name, job=one.job, removed=one.removed, size=size))

    def _records(self) -> list[RemovedJob]:
        """Of folders that are there; read again when something has changed."""
        try:
            stamp = self.root.stat().st_mtime_ns
        except OSError:
            return []
        if stamp != self._read[0]:
            paths = sorted(self.root.glob(f"*{RECORD}")) if self._is_own() else []
            self._read = stamp, [one for one in map(self._record_of, paths) if one is not None]
        return self._read[1]

    def _record_of(self, path: Path) -> RemovedJob | None:
        folder = path.with_name(path.name.removesuffix(RECORD))
        try:
            record = read_json_file(path, JobError)
            job, removed, size = record["job"], record["removed"], record["size"]
        except (OSError, JobError, KeyError, TypeError):
            return None
        kinds = fits(job, str) and fits(removed, float) and fits(size, int | None)
        if not kinds or Path(job).name != job or job in ("", FOLDER) or not folder.is_dir() or folder.is_symlink():
            return None
        return RemovedJob(name=folder.name, job=job, removed=removed, size=size)

    def _write(self, removed: RemovedJob, source: str = "") -> None:
        values = {"job": removed.job, "from": source, "removed": removed.removed, "size": removed.size}
        if not source:
            values["from"] = read_json_file(self._record(removed), JobError).get("from", "")
        atomic.write_json(self._record(removed), values)
        self._read = (None, [])

    def _forget(self, removed: RemovedJob) -> None:
        self._record(removed).unlink(missing_ok=True)
        self._read = (None, [])

    def _record(self, removed: RemovedJob) -> Path:
        return self.root / (removed.name + RECORD)

    def _free_name(self, name: str) -> str:
        number, free = 1, name
        while (self.root / free).exists() or (self.root / (free + RECORD)).exists():
            number += 1
            free = f"{name}-{number}"
        return free

    def _is_own(self) -> bool:
        """Whether it is a folder among the jobs, and no link to somewhere else."""
        return self.root.resolve() == self._jobs.root.resolve() / FOLDER


def _is_old(removed: RemovedJob) -> bool:
    return time.time() - removed.removed > DAYS_KEPT * SECONDS_IN_DAY


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder; links count as what they are."""
    for path in list(folder.iterdir()):
        if _is_own_folder(path):
            yield from _files(path)
        else:
            yield path


def _delete_tree(folder: Path) -> Iterator[None]:
    """A step for each file; of links the link alone is deleted."""
    for path in list(folder.iterdir()):
        if _is_own_folder(path):
            yield from _delete_tree(path)
        elif path.is_dir() and not path.is_symlink():  # a junction of Windows
            path.rmdir()
        else:
            path.unlink()
        yield
    folder.rmdir()


def _is_own_folder(path: Path) -> bool:
    """Whether what lies in it belongs to it: neither a link nor a junction of Windows."""
    return path.is_dir() and path.resolve().parent == path.parent.resolve() and not path.is_symlink()
