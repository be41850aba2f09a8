"""Reading ahead and writing behind."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from MedSegTrainerLib.errors import DataError, StorageError
from MedSegTrainerLib.jobs.pipeline import StopAskedError, overlapped


def plain(item: int, *rest: Any) -> int:
    return item


class TestOverlapped:
    def test_the_next_is_read_while_one_is_worked_on_and_the_last_is_written(self) -> None:
        """Each stage waits for the others: one after the other would wait for ever."""
        read_third, wrote_first = threading.Event(), threading.Event()

        def read(item: int) -> int:
            if item == 3:
                read_third.set()
            return 10 * item

        def work(item: int, content: int) -> int:
            if item == 2:
                assert read_third.wait(20) and wrote_first.wait(20)
            return content + 1

        written = []

        def write(item: int, result: int) -> None:
            written.append(result)
            wrote_first.set()

        assert [done.item for done in overlapped([1, 2, 3], read, work, write)] == [1, 2, 3]
        assert written == [11, 21, 31]

    @pytest.mark.parametrize("stage", [0, 1, 2])
    @pytest.mark.parametrize("kind", [DataError, ValueError, MemoryError, AssertionError])
    def test_an_error_ends_only_its_item(self, stage: int, kind: type[Exception]) -> None:
        def fails(item: int, *rest: Any) -> int:
            if item == 2:
                raise kind("two is bad")
            return item

        stages = [fails if index == stage else plain for index in range(3)]
        results = list(overlapped([1, 2, 3], *stages))  # type: ignore[arg-type]
        assert [done.item for done in results] == [1, 2, 3]
        assert [str(done.error or "") for done in results] == ["", "two is bad", ""]

    @pytest.mark.parametrize("stage", [0, 1, 2])
    def test_what_no_item_would_escape_is_handed_over(self, stage: int) -> None:
        def fails(item: int, *rest: Any) -> int:
            raise StorageError("full")

        stages = [fails if index == stage else plain for index in range(3)]
        with pytest.raises(StorageError, match="full"):
            list(overlapped([1, 2, 3], *stages))  # type: ignore[arg-type]

    def test_after_a_stop_what_was_worked_out_is_written_and_nothing_is_begun(self) -> None:
        written = []

        def work(item: int, content: int) -> int:
            if item == 3:
                raise StopAskedError
            return item

        results = list(overlapped([1, 2, 3, 4], plain, work, lambda item, result: written.append(item)))
        assert [done.item for done in results] == written == [1, 2]

    def test_nothing_to_do(self) -> None:
        assert list(overlapped([], plain, plain, plain)) == []  # type: ignore[arg-type]
