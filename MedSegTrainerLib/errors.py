"""What can go wrong for a user, each with a message that says what, which value and what to do.

    MedSegError
      UsageError      the request itself is wrong (exit code 2)
        ConfigError   settings that are unknown, of the wrong type or contradict each other
      DataError       images, labels or folders that cannot be used
      ModelError      a model package that cannot be read or does not fit the input
      JobError        a job folder that is missing, broken, or worked on by another process
      StorageError    the disk is full or not writable
      TrainingError   training cannot go on (memory, loss that is not a number)

Only the standard library is imported, so that Slicer's Python can import this without torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MOST_LISTED = 50
LONGEST_LINE = 2000


class MedSegError(Exception):
    """Base of every error a user can cause; its text is shown as it stands, without a traceback."""

    exit_code = 1


class UsageError(MedSegError):
    exit_code = 2


class ConfigError(UsageError):
    """All problems of a configuration at once.

    ``problems`` holds one line each, starting with the path of the setting.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [_readable(problem) for problem in problems]
        count = len(self.problems)
        title = "The configuration has a problem" if count == 1 else f"The configuration has {count} problems"
        more = f"\n  and {count - MOST_LISTED} more" if count > MOST_LISTED else ""
        super().__init__(title + ":\n" + "\n".join(f"  - {line}" for line in self.problems[:MOST_LISTED]) + more)


class DataError(MedSegError):
    pass


class ModelError(MedSegError):
    pass


class JobError(MedSegError):
    pass


class StorageError(MedSegError):
    pass


class TrainingError(MedSegError):
    pass


def _readable(text: str) -> str:
    """A line that repeats what others wrote, without what a terminal would obey, and not without end."""
    cut = f"{text[:LONGEST_LINE]}... ({len(text)} characters)" if len(text) > LONGEST_LINE else text
    return "".join(sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in cut)


def system_error_text(error: OSError) -> str:
    """What the operating system refused, as a message for users."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    return f"{what}. Check that it can be reached and that you may use it, then start again."


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A sentence that names the nearest known word, or lists them all; '' when there are none, or too many to read."""
    ordered = sorted(options)
    near = difflib.get_close_matches(word, ordered, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Known: {', '.join(ordered)}." if 0 < len(ordered) <= MOST_LISTED else ""


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
