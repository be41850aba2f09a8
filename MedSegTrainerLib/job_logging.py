"""Where the library's log goes: a job's ``log.txt`` and, with ``--verbose``, the console.

A line is ``2026-05-04T13:37:00+02:00 INFO MedSegTrainerLib.jobs.run: text``; lines that begin with a space belong to
the one above. Only the standard library is imported, so that Slicer's Python can read a log.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TextIO

from MedSegTrainerLib.atomic import storage_errors
from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.files.plain_text import plain

# loggers: of all modules, of the events of a job, and of logging.captureWarnings
LIBRARY, EVENTS, WARNINGS = "MedSegTrainerLib", "MedSegTrainerLib.events", "py.warnings"
LEVEL_VARIABLE = "MEDSEGTRAINER_LOG_LEVEL"  # an environment variable, so that it reaches folds and ranks
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
STDERR = 2
READ_BYTES = 1 << 20
LINE = re.compile(
    rf"(?P<header>\d{{4}}-\d\d-\d\dT[\d:]{{8}}\S* (?:{'|'.join(LEVELS)}) (?:\[rank \d+\] )?(?P<logger>[\w.]+): )"
)


class LineFormatter(logging.Formatter):
    """One record a line; what is longer goes on indented, so that no text can pass for a line of its own."""

    def __init__(self, rank: int = 0) -> None:
        super().__init__()
        self.origin = f"[rank {rank}] " if rank else ""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        indented = plain(text).rstrip().replace("\n", "\n    ")
        return f"{moment} {record.levelname} {self.origin}{record.name}: {indented}"


class _LogHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk ends the job with a message of its own; the log does not add a traceback for each line."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Onward(logging.Handler):
    """Hands records to the handlers of the program around the library, from the level on that it wants them."""

    def emit(self, record: logging.LogRecord) -> None:
        root = logging.getLogger()
        if root.handlers:
            root.callHandlers(record)


@contextmanager
def job_log(path: Path, rank: int = 0) -> Iterator[None]:
    """Appends what the library logs, and all warnings, to a job's ``log.txt`` until it is left.

    rank: of this process among those that train together; all but the first log warnings and errors only. Raises
    StorageError where the path is a link or no file.
    """
    with ExitStack() as stack:
        target: TextIO = stack.enter_context(_stream(path))
        handler = _LogHandler(target)
        handler.setFormatter(LineFormatter(rank))
        handler.setLevel(logging.WARNING if rank else log_level())
        stack.enter_context(_warnings_captured(handler))
        stack.enter_context(_attached(handler))
        yield


@contextmanager
def console_log() -> Iterator[None]:
    """Shows everything that the library logs on stderr, and has the jobs that are started log as much."""
    handler = _LogHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.setLevel(logging.DEBUG)
    before = os.environ.get(LEVEL_VARIABLE)
    os.environ[LEVEL_VARIABLE] = "DEBUG"
    try:
        with _attached(handler):
            yield
    finally:
        if before is None:
            del os.environ[LEVEL_VARIABLE]
        else:
            os.environ[LEVEL_VARIABLE] = before


def log_level() -> int:
    """That of ``MEDSEGTRAINER_LOG_LEVEL``; INFO where it is not set, or to something else than a level."""
    name = os.environ.get(LEVEL_VARIABLE, "INFO").upper()
    return int(getattr(logging, name)) if name in LEVELS else logging.INFO


def is_verbose() -> bool:
    return log_level() == logging.DEBUG


def open_log(path: Path) -> BinaryIO:
    """A job's ``log.txt`` to append to; raises StorageError where it is a link, no file, or cannot be written."""
    with storage_errors(path):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise StorageError(f"{path} is a link or no file. Remove it, or choose another folder.")
        return open(path, "ab", opener=_open_at_once)


def is_log_line(line: str, logger: str | None = None) -> bool:
    """Whether a line of ``log.txt`` was logged (by this logger) and not printed."""
    match = LINE.match(line)
    return match is not None and logger in (None, match["logger"])


class LogReader:
    """Lines that are appended to a log from now on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = path.stat().st_size if path.is_file() else 0

    def read(self) -> list[str]:
        """Whole lines since the last call, without their ends; the rest of very many at the next one."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            content = stream.read(READ_BYTES)
        whole = content[: content.rfind(b"\n") + 1] or (content if len(content) == READ_BYTES else b"")
        self.offset += len(whole)
        return whole.decode("utf-8", errors="replace").splitlines()


def _open_at_once(path: str, flags: int) -> int:
    """Not through a link, and without waiting for who reads a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o644)


@contextmanager
def _stream(path: Path) -> Iterator[TextIO]:
    """``log.txt``, through stderr where that leads there: two handles on a file overwrite each other on Windows."""
    with ExitStack() as stack:
        file = STDERR if _is_stderr(path) else stack.enter_context(open_log(path)).fileno()
        yield stack.enter_context(open(file, "w", encoding="utf-8", errors="backslashreplace", closefd=False))


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(STDERR), path.stat())
    except (OSError, ValueError):
        return False


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    """The handler gets the library's records; what the program around it gets of them stays as it was."""
    library = logging.getLogger(LIBRARY)
    level, propagates = library.level, library.propagate
    handlers = [handler]
    if propagates:
        handlers.append(_Onward(library.getEffectiveLevel()))
    for one in handlers:
        library.addHandler(one)
    library.setLevel(min(handler.level, library.getEffectiveLevel()))
    library.propagate = False
    try:
        yield
    finally:
        library.setLevel(level)
        library.propagate = propagates
        for one in handlers:
            library.removeHandler(one)


@contextmanager
def _warnings_captured(handler: logging.Handler) -> Iterator[None]:
    is_captured = getattr(warnings.showwarning, "__module__", "") == "logging"  # by the program around the library
    logger = logging.getLogger(WARNINGS)
    logger.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        if not is_captured:
            logging.captureWarnings(False)
        logger.removeHandler(handler)
