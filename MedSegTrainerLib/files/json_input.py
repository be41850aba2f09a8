"""JSON that somebody else wrote: read within limits, so that no file can crash, hang or fill whoever opens it.

Every file and text of JSON comes in through here, also those of this program, for a job folder may come from anywhere.
Only the standard library is imported, so that Slicer's Python can read job folders and models.
"""

from __future__ import annotations

import json
import math
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from MedSegTrainerLib.errors import MedSegError, UsageError

LARGEST_BYTES = 64 << 20
DEEPEST = 64  # levels of objects and lists
LONGEST_NUMBER = 40  # digits of a whole number


def parse_json(text: str | bytes, name: str, error: type[MedSegError] = UsageError) -> Any:
    """The value of a JSON text; ``error`` with a message that begins with ``name`` where it is none.

    A byte order mark and UTF-16 are read, as Windows' editors and PowerShell write them. Refused beside what is no
    JSON: more than 64 levels, whole numbers of more than 40 digits, NaN and infinity, a key twice in one object (one of
    both would go unread), and characters that are no text (lone surrogates).
    """
    try:
        value = json.loads(
            text.removeprefix("\ufeff") if isinstance(text, str) else text,
            parse_int=_whole_number,
            object_pairs_hook=_object,
        )
        _check(value)
    except (ValueError, RecursionError) as problem:
        reason = str(problem).rstrip(".")
        if isinstance(problem, RecursionError):
            reason = "it is nested too deeply"
        elif isinstance(problem, UnicodeDecodeError):
            reason = "it is no text file"
        raise error(f"{name} is not valid JSON: {reason}. Correct it, or leave it out.") from None
    return value


def read_json_file(path: Path, error: type[MedSegError] = UsageError, largest: int = LARGEST_BYTES) -> Any:
    """The value in a JSON file; raises ``error`` as ``parse_json`` does, also for what is no file and for files of more
    than ``largest`` bytes, and OSError where it cannot be read."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for without end
        raise error(f"{path} is no file. Give a JSON file.")
    if about.st_size > largest:
        raise error(f"{path} has {about.st_size} bytes, more than the {largest} of any such file. It is not read.")
    return parse_json(path.read_bytes(), str(path), error)


def _whole_number(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits ({digits[:12]}...)")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} stands twice in one object")
    return values


def _check(value: Any) -> None:
    """Raises ValueError for what ``json`` accepts and the rest of a program trips over."""
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, float) and not math.isfinite(item):  # also of 1e999
                raise ValueError(f"{item} is no finite number")
            elif isinstance(item, str) and not item.isascii():
                item.encode()  # raises UnicodeEncodeError, a ValueError, for lone surrogates
        if not inner:
            return
        level = inner
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")
