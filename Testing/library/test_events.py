"""The log that is only ever added to, and its reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.events import EVENT_KINDS, EventLog, EventReader, Measured, Progress, Warned


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class TestEventLog:
    def test_one_object_a_line(self, path: Path) -> None:
        log = EventLog(path)
        log(Progress(done=1, total=2))
        log(Warned(message="two\nlines, é and \u2028"))
        first, second = lines(path)
        assert {key: first[key] for key in ("seq", "kind", "done", "total")} == {
            "seq": 1, "kind": "progress", "done": 1, "total": 2,
        }  # fmt: skip
        assert first["eta_seconds"] is None
        assert (second["seq"], second["message"]) == (2, "two\nlines, é and \u2028")
        assert second["time"] >= first["time"] > 1.7e9

    def test_continues_the_numbers(self, path: Path) -> None:
        for _ in range(3):
            EventLog(path)(Warned(message="again"))
        assert [event["seq"] for event in lines(path)] == [1, 2, 3]

    def test_mends_a_torn_last_line(self, path: Path) -> None:
        EventLog(path)(Warned(message="whole"))
        with path.open("ab") as stream:
            stream.write(b'{"seq": 2, "kind": "warn')
        EventLog(path)(Warned(message="next"))
        assert [(event["seq"], event["message"]) for event in lines(path)] == [(1, "whole"), (2, "next")]

    def test_mends_a_file_with_only_a_torn_line(self, path: Path) -> None:
        path.write_bytes(b'{"seq": 1')
        EventLog(path)(Warned(message="first"))
        assert [event["seq"] for event in lines(path)] == [1]

    @pytest.mark.parametrize("rest", [b"no JSON\n", b"\x00\x00\n", b"42\n", b"\n", b'{"kind": "unnumbered"}\n'])
    def test_continues_behind_a_line_that_is_no_event(self, path: Path, rest: bytes) -> None:
        EventLog(path)(Warned(message="whole"))
        with path.open("ab") as stream:
            stream.write(rest)
        assert EventLog(path).seq == 1

    def test_what_is_not_finite_becomes_null(self, path: Path) -> None:
        metrics = {"liver": {"hd95": float("inf"), "dice": float("nan"), "iou": 0.5}}
        EventLog(path)(Measured(cases=1, metrics=metrics, report="r"))
        assert lines(path)[0]["metrics"] == {"liver": {"hd95": None, "dice": None, "iou": 0.5}}

    def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        log = EventLog(tmp_path / "missing" / "events.jsonl")
        with pytest.raises(StorageError, match=r"missing.*events\.jsonl"):
            log(Warned(message="lost"))

    def test_each_class_has_one_kind(self) -> None:
        assert len(set(EVENT_KINDS.values())) == len(EVENT_KINDS)


class TestEventReader:
    def test_returns_each_event_once(self, path: Path) -> None:
        log, reader = EventLog(path), EventReader(path)
        assert reader.read() == []
        log(Warned(message="a"))
        log(Warned(message="b"))
        assert [event["message"] for event in reader.read()] == ["a", "b"]
        log(Warned(message="c"))
        assert [event["message"] for event in reader.read()] == ["c"]
        assert reader.read() == []

    def test_never_returns_half_a_line(self, path: Path) -> None:
        reader = EventReader(path)
        line = json.dumps({"seq": 1, "kind": "warned", "message": "m"}).encode() + b"\n"
        for end in range(len(line)):
            path.write_bytes(line[:end])
            assert reader.read() == []
        path.write_bytes(line)
        assert [event["seq"] for event in reader.read()] == [1]

    def test_passes_over_what_is_no_event(self, path: Path) -> None:
        path.write_bytes(b'Traceback\n\n\xff\xfe\n{"a":\n42\n[1]\nnull\n{"seq": 1}\n')
        reader = EventReader(path)
        assert reader.read() == [{"seq": 1}]
        assert reader.offset == path.stat().st_size

    def test_reads_a_part_at_a_time(self, path: Path) -> None:
        log, reader = EventLog(path), EventReader(path)
        for done in range(5):
            log(Progress(done=done, total=5))
        assert [[event["done"] for event in reader.read(limit=2)] for _ in range(3)] == [[0, 1], [2, 3], [4]]

    def test_goes_on_where_a_torn_line_was_mended(self, path: Path) -> None:
        EventLog(path)(Warned(message="a"))
        with path.open("ab") as stream:
            stream.write(b'{"seq": 2, "message": "a long line that was never finished')
        reader = EventReader(path)
        assert len(reader.read()) == 1
        EventLog(path)(Warned(message="b"))
        assert [event["message"] for event in reader.read()] == ["b"]
