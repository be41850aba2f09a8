"""Follows a job by its folder: a bounded piece of work at each call, and all curves after a few calls.

The standard library only. What a dead process had not kept is forgotten when a later one says where it goes on: the
last word on an epoch counts.
"""

from __future__ import annotations

import bisect
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_status import ACTIVE_STATES, Status

POLL_SECONDS = 0.008
EVENTS_AT_ONCE, BYTES_AT_ONCE = 50, 1 << 16
START_SECONDS = 90.0  # loading PyTorch from a cold disk can take that long
START_FAILED = (b"Error: ", b"No module named")  # what Python prints where the job's process cannot even begin
NEWS_KEPT = 500
NOT_NEWS = ("progress", "epoch", "started")

Event = Mapping[str, Any]


class JobWatch:
    """What is known of a job, brought up to date by ``poll``.

    status: of ``status.json``. alive: a process works on it. caught_up: all events so far were read. Lists of events in
    their order: epochs and validations (by epoch, without ``per_case``), warnings, findings, cases. advice: finding to
    its newest event. per_case: Dice of each class of each held-out case, at the newest validation. plan: choice to
    {'value', 'reason'}. stage: the newest event of its kind. best: the newest event of its kind, or None. measured: the
    event with the final numbers. compared: the event with those of the model that it began as beside them. outcome: the
    event that ended the job (finished, stopped, failed), None while it goes on. rewinds: how often points of the curves
    were taken back. news: the newest events worth a line; ``news_count`` counts all of them.
    """

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.status = Status()
        self.alive = False
        self.caught_up = False
        self.epochs: list[dict[str, Any]] = []
        self.validations: list[dict[str, Any]] = []
        self.per_case: dict[str, dict[str, float | None]] = {}
        self.plan: dict[str, dict[str, Any]] = {}
        self.advice: dict[str, Event] = {}
        self.warnings: list[Event] = []
        self.findings: list[Event] = []
        self.cases: list[Event] = []
        self.stage: Event = {"name": "", "message": "", "total": 0}
        self.best: Event | None = None
        self.measured: Event | None = None
        self.compared: Event | None = None
        self.outcome: Event | None = None
        self.rewinds = 0
        self.news: deque[Event] = deque(maxlen=NEWS_KEPT)
        self.news_count = 0
        self.began: float | None = None
        self._done: Event = {}
        self._starting_since = _started_at(folder)
        self._log_size_at_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._process_ended = False
        self._reader = EventReader(folder.events_file)
        self._document: dict[str, Any] | None = None
        self._state_before = self.state
        self._follow_kind: dict[str, Callable[[Event], None]] = {
            "started": self._started,
            "stage": self._stage,
            "progress": self._progress,
            "planned": lambda e: self.plan.update(e["choices"]),
            "warned": self.warnings.append,
            "epoch": lambda e: self._point(self.epochs, dict(e)),
            "validated": self._validated,
            "best": lambda e: setattr(self, "best", e),
            "resumed": lambda e: self._rewind(e["epoch"]),
            "recovered": lambda e: self._rewind(e["epoch"]),
            "advised": self._advised,
            "found": self.findings.append,
            "case": self.cases.append,
            "measured": lambda e: setattr(self, "measured", e),
            "compared": lambda e: setattr(self, "compared", e),
            "finished": self._ended,
            "stopped": self._ended,
            "failed": self._ended,
        }

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def document(self) -> dict[str, Any]:
        """The content of ``job.json``; empty where it cannot be read."""
        if self._document is None:
            try:
                self._document = self.folder.read_document()
            except JobError:
                self._document = {}
        return self._document

    @property
    def state(self) -> str:
        """created (nobody started it), starting, running, finished, stopped, failed, or died without a word."""
        if self.alive:
            return "running" if self.status.state == "running" else "starting"
        if self._starting_since is not None and not self._start_failed():
            return "starting"
        if self.status.state in ACTIVE_STATES or (self.status.state == "created" and self._starting_since is not None):
            return "died"
        return self.status.state

    @property
    def working(self) -> bool:
        """Whether a process works on it, or is about to."""
        return self.state in ("starting", "running")

    @property
    def progress(self) -> float:
        """Of the current stage, from 0 to 1."""
        if self.outcome is not None and self.outcome["kind"] == "finished":
            return 1.0
        total = self._done.get("total") or 0
        return min(1.0, self._done["done"] / total) if total else float(self.status.progress or 0.0)

    @property
    def eta_seconds(self) -> float | None:
        """Time left, as the job thinks; None where it does not know or has ended."""
        if not self.alive:
            return None
        known = self.status.eta_seconds
        return self._done.get("eta_seconds") if known is None else known

    def best_dice(self) -> tuple[float | None, dict[str, float | None]]:
        """Mean Dice of the best model on the held-out cases, and that of each class."""
        if self.best is None:
            return None, {}
        place = bisect.bisect_left(self.validations, self.best["epoch"], key=_epoch_of)
        at = self.validations[place] if place < len(self.validations) else {}
        dice = at.get("dice", {}) if at.get("epoch") == self.best["epoch"] else {}
        return self.best["mean_dice"], dice

    def expect_start(self, process: subprocess.Popen[bytes] | None = None) -> None:
        """The job was started just now: until its process writes a status of its own it is not a dead one.

        process: the subprocess.Popen of it, where it is known; one that ends before has failed to start.
        """
        self._process, self._process_ended = process, False
        self._starting_since = time.time()
        self._log_size_at_start = _size(self.folder.log_file)
        self.outcome = None

    def poll(self, seconds: float = POLL_SECONDS) -> bool:
        """Reads the status and new events for about so long; whether there was anything new."""
        new = self._read_status()
        until = time.perf_counter() + seconds
        while True:
            before = self._reader.offset
            try:
                events = self._reader.read(EVENTS_AT_ONCE, BYTES_AT_ONCE)
            except OSError:  # a share that is gone for a moment, a file that a scanner holds
                return new
            for event in events:
                self._follow(event)
            new = new or bool(events)
            if self._reader.offset == before:
                new = new or not self.caught_up
                self.caught_up = True
                return new
            if time.perf_counter() >= until:
                self.caught_up = False
                return new

    def _read_status(self) -> bool:
        earlier = self.status, self.alive, self._state_before
        # asked before the status is read, which a process writes before it ends
        self._process_ended = self._process is not None and self._process.poll() is not None
        status = self.folder.status()
        if status.state != "created" or self.status.state == "created":  # unreadable for a moment: the last one counts
            self.status = status
        self.alive = self.status.is_alive()
        if self._starting_since is not None and self.status.heartbeat > self._starting_since:
            self._starting_since = None
        self._state_before = self.state
        return earlier != (self.status, self.alive, self._state_before)

    def _start_failed(self) -> bool:
        if self._starting_since is None or time.time() - self._starting_since > START_SECONDS:
            return True
        if self._process_ended:
            return True
        try:
            with self.folder.log_file.open("rb") as stream:
                stream.seek(max(0, self._log_size_at_start - 1))
                content = stream.read(BYTES_AT_ONCE)
        except OSError:
            return False
        return any(mark in content for mark in START_FAILED)

    def _follow(self, event: Event) -> None:
        kind = event.get("kind")
        follow = self._follow_kind.get(str(kind))
        try:
            if follow:
                follow(event)
        except (KeyError, TypeError, ValueError):  # of another version: what is not understood is passed over
            return
        if kind not in NOT_NEWS:
            self.news.append(event)
            self.news_count += 1

    def _started(self, event: Event) -> None:
        self.began, self.outcome, self._done = event.get("time"), None, {}

    def _stage(self, event: Event) -> None:
        self.stage, self._done = event, {}

    def _progress(self, event: Event) -> None:
        self._done = event

    def _validated(self, event: Event) -> None:
        point = {key: event[key] for key in ("epoch", "minutes", "mean_dice", "dice")}
        metrics = event.get("metrics") or {}
        point["zero_classes"] = event.get("zero_classes") or []
        self._point(self.validations, {**point, "val_loss": metrics.get("val_loss")})
        self.per_case = event.get("per_case") or {}

    def _advised(self, event: Event) -> None:
        self.advice.pop(event["finding"], None)
        self.advice[event["finding"]] = event

    def _ended(self, event: Event) -> None:
        self.outcome = event

    def _point(self, points: list[dict[str, Any]], point: dict[str, Any]) -> None:
        """Puts a point at its epoch; one that was there is replaced."""
        epoch = int(point["epoch"])
        if not points or points[-1]["epoch"] < epoch:
            points.append(point)
            return
        place = bisect.bisect_left(points, epoch, key=_epoch_of)
        same = points[place]["epoch"] == epoch
        points[place : place + same] = [point]
        self.rewinds += 1

    def _rewind(self, epoch: int) -> None:
        """Later epochs were lost and will come again, or never."""
        for points in (self.epochs, self.validations):
            place = bisect.bisect_right(points, epoch, key=_epoch_of)
            if place < len(points):
                del points[place:]
                self.rewinds += 1


def _epoch_of(point: Mapping[str, Any]) -> int:
    return int(point["epoch"])


def _started_at(folder: JobFolder) -> float | None:
    """When somebody started a process of which no status tells yet: ``log.txt`` is made for it. None: nobody did."""
    if folder.status_file.exists():
        return None
    try:
        return folder.log_file.stat().st_mtime
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
