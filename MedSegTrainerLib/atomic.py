"""Files that are either whole or not there: written beside, flushed, then moved into place."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from MedSegTrainerLib.errors import StorageError

TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{8}-.")  # how names of temporary_beside begin
WINDOWS_RETRIES = 50  # a reader that has the file open for a moment blocks replacing it on Windows


def write_json(path: Path, value: Any) -> None:
    """``value`` as JSON, replacing ``path`` at once; raises StorageError when it cannot be written."""
    text = json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False)
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    write_with(path, lambda stream: stream.write(content))


def write_with(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Calls ``write`` with a stream whose content becomes ``path`` when it has all been written."""
    with storage_errors(path):
        temporary = temporary_beside(path)
        try:
            with temporary.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A new name in the same folder that keeps the suffixes, by which writers choose the format."""
    return path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")


def replace(source: Path, target: Path) -> None:
    """``Path.replace``, tried again while Windows says that a reader has the target open."""
    for attempt in range(WINDOWS_RETRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == WINDOWS_RETRIES - 1:
                raise
            time.sleep(0.02)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system says about a disk into a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the disk (or your share of it) is full. Free some space or choose another folder, then start again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "writing is not allowed there. Choose another folder."
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return "a file is where a folder should be, or the other way round. Choose another folder."
    return f"{error.strerror or error}."
