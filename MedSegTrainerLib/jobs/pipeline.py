"""Reading, working and writing at the same time: while one item is worked on, the next is read and the last written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from MedSegTrainerLib.errors import JobError, StorageError

Item = TypeVar("Item")


FOR_ALL = (StorageError, JobError)  # a full disk, a job that another process took over


class StopAskedError(Exception):
    """Raised by the work where somebody asked for the end; what was finished before is still written."""


@dataclass(frozen=True, kw_only=True)
class Done(Generic[Item]):
    """An item that was written, or could not be (``error``); seconds: of reading, working and writing together."""

    item: Item
    seconds: float
    error: Exception | None = None


def overlapped(
    items: Sequence[Item],
    read: Callable[[Item], Any],
    work: Callable[[Item, Any], Any],
    write: Callable[[Item, Any], None],
) -> Iterator[Done[Item]]:
    """Each item as it is done, in their order: ``write(item, work(item, read(item)))``.

    ``read`` and ``write`` run in a thread each, ``work`` in the caller's, one item ahead and one behind at most, so
    that memory does not grow with their number. An error ends only its item, whatever it is, but for those that no item
    would escape (``FOR_ALL``), which are raised here. After a StopAskedError of ``work`` nothing more is begun.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = reader.submit(_timed, read, items[0]) if items else None
        behind: Callable[[], Done[Item]] | None = None
        for index, item in enumerate(items):
            assert ahead is not None
            content, spent, error = _tried(ahead.result)
            ahead = reader.submit(_timed, read, items[index + 1]) if index + 1 < len(items) else None
            result = None
            try:
                if error is None:
                    result, seconds, error = _tried(partial(_timed, work, item, content))
                    spent += seconds
            except StopAskedError:
                break
            content = None  # two volumes at a time are enough
            if behind is not None:
                yield behind()
            if error is None:
                behind = partial(_written, item, spent, writer.submit(_timed, write, item, result))
            else:
                behind = None
                yield Done(item=item, seconds=spent, error=error)
        if behind is not None:
            yield behind()


def _written(item: Item, spent: float, future: Future[tuple[Any, float]]) -> Done[Item]:
    _, seconds, error = _tried(future.result)
    return Done(item=item, seconds=spent + seconds, error=error)


def _tried(step: Callable[[], tuple[Any, float]]) -> tuple[Any, float, Exception | None]:
    """What the step gives, and None; or nothing, and the error of this item."""
    try:
        return *step(), None
    except (StopAskedError, *FOR_ALL):
        raise
    except Exception as error:
        return None, 0.0, error


def _timed(step: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.monotonic()
    result = step(*arguments)
    return result, time.monotonic() - began
