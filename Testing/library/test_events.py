"""The log that is only ever added to, and its reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.events import EVENT_KINDS, TAIL_BYTES, EventLog, EventReader, Measured, Progress, Warned

FULL = """
import resource, sys
from pathlib import Path
from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.events import EventLog, Warned
log = EventLog(Path(sys.argv[1]))
log(Warned(message="whole"))
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 4000))
try:
    log(Warned(message="x" * 300))
except StorageError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
log(Warned(message="after"))
"""


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

    def test_begins_a_line_behind_what_is_longer_than_any_event(self, path: Path) -> None:
        path.write_bytes(b"x" * (TAIL_BYTES + 1))
        EventLog(path)(Warned(message="next"))
        assert [event["message"] for event in EventReader(path).read()] == ["next"]

    @pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size, which stands for a disk")
    def test_a_line_that_does_not_fit_leaves_nothing(self, path: Path) -> None:
        """The system writes what there is room for, and says with the next byte that there is none."""
        ended = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
        assert "is full" in ended.stdout
        assert [event["message"] for event in EventReader(path).read()] == ["whole", "after"]
        assert [event["seq"] for event in lines(path)] == [1, 2]

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
        line = json.dumps({"seq": 1, "time": 1.5, "kind": "warned", "message": "m"}).encode() + b"\n"
        for end in range(len(line)):
            path.write_bytes(line[:end])
            assert reader.read() == []
        path.write_bytes(line)
        assert [event["seq"] for event in reader.read()] == [1]

    def test_passes_over_what_is_no_event(self, path: Path) -> None:
        event = {"seq": 1, "time": 2, "kind": "warned", "message": "m"}
        path.write_bytes(b'Traceback\n\n\xff\xfe\n{"a":\n42\n[1]\nnull\n{}\n' + json.dumps(event).encode() + b"\n")
        reader = EventReader(path)
        assert reader.read() == [event]
        assert reader.offset == path.stat().st_size

    @pytest.mark.parametrize(
        "wrong",
        [
            {"seq": "1"}, {"seq": True}, {"seq": 1.5}, {"seq": 1 << 70}, {"time": None}, {"time": "now"}, {"kind": []},
            {"kind": 1}, {"epoch": "3"}, {"epoch": None}, {"mean_dice": "0.5"}, {"mean_dice": float("inf")}, 
            {"dice": []}, {"dice": {"liver": "high"}}, {"per_case": {"a": 1}}, {"zero_classes": [1]},
            {"zero_classes": "all"},
        ],
    )  # fmt: skip
    def test_passes_over_fields_of_other_types(self, path: Path, wrong: dict[str, Any]) -> None:
        right = {
            "seq": 1, "time": 1.5, "kind": "validated", "epoch": 3, "minutes": 1, "mean_dice": None,
            "dice": {"liver": None}, "per_case": {}, "zero_classes": ["liver"], "metrics": {"val_loss": 0.5},
        }  # fmt: skip
        path.write_text(f"{json.dumps({**right, **wrong})}\n{json.dumps(right)}\n")
        assert EventReader(path).read() == [right]
        assert EventLog(path).seq == 1

    def test_fills_in_what_an_earlier_version_did_not_write(self, path: Path) -> None:
        early = {"seq": 1, "time": 1, "kind": "best", "epoch": 3, "mean_dice": 0.5}
        path.write_text(json.dumps(early) + "\n")
        assert EventReader(path).read() == [{**early, "monitor": "val_dice", "value": None}]

    def test_returns_kinds_of_later_versions(self, path: Path) -> None:
        later = {"seq": 1, "time": 1, "kind": "invented", "x": [1]}
        path.write_text(json.dumps(later) + "\n")
        assert EventReader(path).read() == [later]

    def test_deep_nesting(self, path: Path) -> None:
        path.write_text('{"seq": 1, "time": 1, "kind": ' + "[" * 100_000 + "\n")
        assert EventReader(path).read() == []

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
    def test_a_pipe_is_not_waited_for(self, path: Path) -> None:
        os.mkfifo(path)
        assert EventReader(path).read() == []
        with pytest.raises(StorageError, match="is no file"):
            EventLog(path)

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
