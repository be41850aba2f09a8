"""Reading, working and writing at the same time: while one item is worked on, the next is read and the last written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from MedSegTrainerLib.errors import DataError

Item = TypeVar("Item")


class StopAskedError(Exception):
    """Raised by the work where somebody asked for the end; what was finished before is still written."""


@dataclass(frozen=True, kw_only=True)
class Done(Generic[Item]):
    """An item that was written, or could not be (``error``); seconds: of reading, working and writing together."""

    item: Item
    seconds: float
    error: DataError | None = None


def overlapped(
    items: Sequence[Item],
    read: Callable[[Item], Any],
    work: Callable[[Item, Any], Any],
    write: Callable[[Item, Any], None],
) -> Iterator[Done[Item]]:
    """Each item as it is done, in their order: ``write(item, work(item, read(item)))``.

    ``read`` and ``write`` run in a thread each, ``work`` in the caller's, one item ahead and one behind at most, so
    that memory does not grow with their number. A DataError ends only its item; other errors are raised here.
    After a StopAskedError of ``work`` nothing more is begun.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = reader.submit(_timed, read, items[0]) if items else None
        behind: Callable[[], Done[Item]] | None = None
        for index, item in enumerate(items):
            assert ahead is not None
            content, result, spent, error = None, None, 0.0, None
            try:
                content, spent = ahead.result()
            except DataError as found:
                error = found
            ahead = reader.submit(_timed, read, items[index + 1]) if index + 1 < len(items) else None
            try:
                if error is None:
                    result, seconds = _timed(work, item, content)
                    spent += seconds
            except DataError as found:
                error = found
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
    try:
        return Done(item=item, seconds=spent + future.result()[1])
    except DataError as error:
        return Done(item=item, seconds=spent, error=error)


def _timed(step: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.monotonic()
    result = step(*arguments)
    return result, time.monotonic() - began
