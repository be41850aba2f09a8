"""What a job says while it works: the public protocol of ``events.jsonl``.

One JSON object a line: ``seq`` (counts up from 1), ``time`` (seconds since 1970), ``kind`` and the
fields of the class of that kind below. A torn last line is not yet an event. After a resume, epochs
that were lost with the dead process appear again: the last word on an epoch is the one that counts.
Only the standard library is imported, so that Slicer's Python can read events.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from MedSegTrainerLib.atomic import storage_errors
from MedSegTrainerLib.errors import JobError, StorageError
from MedSegTrainerLib.event_lines import event_line, level_of
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.files.typed import filled, fits

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Started:
    """A process began to work on the job."""

    job: str
    host: str
    pid: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A new part of the work began; ``total`` units of it are to come (0: not counted)."""

    name: str
    message: str
    total: int = 0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The cases of a stage ('scan' or 'prepare') are ready: so many were ``prepared`` now, and ``found`` were there."""

    stage: str
    prepared: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``done`` of ``total`` units of the current stage are finished."""

    done: int
    total: int
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What was decided and why: ``choices`` maps a name to {'value', 'reason'}."""

    choices: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something the user should know; the work goes on."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch of training ended. ``gradient_norm`` is the mean before clipping."""

    epoch: int
    epochs: int
    step: int
    train_loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Whole held-out volumes were segmented. ``dice`` maps a class to its mean over the cases, None where none has it.

    mean_dice: None where no case has any class.
    ``metrics`` holds every number that ``trainer.monitor`` can name: train_loss, val_loss, val_dice, val_iou,
    val_accuracy, val_precision, val_recall, learning_rate, gradient_norm, and val_dice/CLASS, val_iou/CLASS, ...
    """

    epoch: int
    minutes: float
    mean_dice: float | None
    dice: dict[str, float | None]
    per_case: dict[str, dict[str, float | None]] = field(default_factory=dict)
    zero_classes: list[str] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Best:
    """The model package was replaced by a better one, judged by ``monitor`` (its value: ``value``)."""

    epoch: int
    mean_dice: float | None
    monitor: str = "val_dice"
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The model as it came (``start``) and the best epoch, on the same held-out cases; each as in ``model.json``."""

    message: str
    start: dict[str, Any]
    best: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Advised:
    """What the curves say, as the training guide reads them: ``finding`` is a key of ``advisor.FINDINGS``.

    remedies: changes to try, each {'setting', 'current', 'suggested', 'why'}; settings as --set takes them.
    """

    epoch: int
    finding: str
    message: str
    remedies: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The loss was not a number: training went back to this epoch and step with a smaller rate and clipping."""

    epoch: int
    step: int
    learning_rate: float
    gradient_clip: float
    attempt: int
    message: str


@dataclass(frozen=True, kw_only=True)
class RatesTried:
    """A learning rate range test ended. One entry a step in rates, losses and smoothed (exponential average)."""

    suggestion: float
    rates: list[float]
    losses: list[float | None]
    smoothed: list[float | None]
    picture: str


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """Training goes on from a checkpoint written after this epoch and step."""

    epoch: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """The data doctor found something: ``severity`` is error, warning or note, ``finding`` the sort of it.

    ``case`` is '' where the whole data set is meant; ``remedy`` says what to do.
    """

    severity: str
    finding: str
    message: str
    remedy: str
    case: str = ""


@dataclass(frozen=True, kw_only=True)
class CaseDone:
    """An input was segmented, or could not be (``error``).

    likely_dice: of its label map, the mean over the classes, with the bounds of its 90 % interval; None where unknown.
    """

    name: str
    output: str | None = None
    seconds: float = 0.0
    error: str | None = None
    likely_dice: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """A slice should be drawn next, and why. ``slice``, from 0, and ``axis`` are those of ``suggestions.json``."""

    case: str
    axis: str
    slice: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Results of the final evaluation: class to metric to mean; ``length`` as in ``metrics.json``."""

    cases: int
    metrics: dict[str, dict[str, float | None]]
    report: str
    length: str = "mm"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The job is done; ``result`` is what to look at."""

    message: str
    result: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The job ended because somebody asked for it (``keep-best`` or ``now``)."""

    how: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job ended with an error the user should read."""

    message: str
    error: str
    exit_code: int


EVENT_KINDS: dict[str, type] = {
    "started": Started,
    "stage": Stage,
    "progress": Progress,
    "prepared": Prepared,
    "planned": Planned,
    "warned": Warned,
    "epoch": Epoch,
    "validated": Validated,
    "best": Best,
    "compared": Compared,
    "resumed": Resumed,
    "advised": Advised,
    "recovered": Recovered,
    "rates": RatesTried,
    "found": Found,
    "case": CaseDone,
    "suggested": Suggested,
    "measured": Measured,
    "finished": Finished,
    "stopped": Stopped,
    "failed": Failed,
}
COMMON = {"seq": int, "time": float, "kind": str}
TAIL_BYTES = 1 << 22  # more than any line
STAGE_ENDS = ("stage", "finished", "stopped", "failed")
KIND_OF = {cls: kind for kind, cls in EVENT_KINDS.items()}


class EventLog:
    """Appends events to a file, and logs them; continues its numbering and mends a torn last line."""

    def __init__(self, path: Path) -> None:
        self.path, self.seq = path, 0
        self._stage: tuple[str, float] | None = None  # its name, and when it began
        if not path.exists():
            return
        if not path.is_file():  # a pipe would be waited for without end
            raise StorageError(f"{path} is no file. Remove it, or choose another folder.")
        with storage_errors(path), path.open("r+b") as stream:
            start = max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES)
            stream.seek(start)
            content = stream.read()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content and (whole or not start):
                stream.truncate(start + len(whole))
            elif whole != content:  # no event is so long: whatever it is ends here
                stream.write(b"\n")
        events = filter(None, map(_parsed, reversed(whole.split(b"\n"))))
        self.seq = next((event["seq"] for event in events), 0)

    def __call__(self, event: Any) -> None:
        """Writes one event object; the line is in the file when this returns. Where it does not fit on the disk
        nothing of it stays, and StorageError is raised."""
        record = {"seq": self.seq + 1, "time": round(time.time(), 3), "kind": KIND_OF[type(event)], **asdict(event)}
        line = json.dumps(_finite(record), ensure_ascii=True).encode() + b"\n"
        with storage_errors(self.path):
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            try:
                _write_whole(handle, line)
            finally:
                os.close(handle)
        self.seq += 1
        self._log(record)

    def _log(self, record: dict[str, Any]) -> None:
        if record["kind"] in STAGE_ENDS and self._stage:
            name, began = self._stage
            logger.debug("stage %s took %.2f s", name, time.monotonic() - began)
        if record["kind"] == "stage":
            self._stage = record["name"], time.monotonic()
        _log_record(record)


class EventReader:
    """Reads what was appended since the last call; never returns half a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def read(self, limit: int = 1000, size: int | None = None) -> list[dict[str, Any]]:
        """At most ``limit`` new events, oldest first; a line that is no event, or one of a known kind whose fields are
        missing or of other types, is passed over. Fields that have a default get it where they are not there.

        With ``size`` reading ends after the line that goes beyond so many bytes, for callers that must not take long.
        """
        if not self.path.is_file():
            return []
        events: list[dict[str, Any]] = []
        end = None if size is None else self.offset + size
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            while len(events) < limit and (end is None or self.offset < end):
                line = stream.readline()
                if not line.endswith(b"\n"):
                    break
                self.offset += len(line)
                event = _parsed(line)
                if event is not None:
                    events.append(event)
        return events


Emit = Callable[[Any], None]


def log_event(event: Any) -> None:
    """Only logs it: for processes that leave the events of a job to another one."""
    _log_record({"kind": KIND_OF[type(event)], **asdict(event)})


def _log_record(record: dict[str, Any]) -> None:
    logger.log(level_of(record), "%s", event_line(record))


def _write_whole(handle: int, line: bytes) -> None:
    """A system may write a part of what it is given, and say only then that the disk is full."""
    size = os.fstat(handle).st_size
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, size)
        raise


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = parse_json(line, "an event", JobError)
    except JobError:
        return None
    if not isinstance(event, dict) or not all(fits(event.get(name), kind) for name, kind in COMMON.items()):
        return None
    cls = EVENT_KINDS.get(event["kind"])
    return event if cls is None else filled(event, cls)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
