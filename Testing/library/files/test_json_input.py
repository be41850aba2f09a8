from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from MedSegTrainerLib.errors import ModelError, UsageError
from MedSegTrainerLib.files.json_input import DEEPEST, LONGEST_NUMBER, parse_json, read_json_file


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_bytes_are_read_in_every_encoding_of_windows_editors(encoding: str) -> None:
    value = {"labels": {"Müller": [1, -2.5, None, True]}}
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(encoding), "it") == value


def test_text_may_begin_with_a_byte_order_mark() -> None:
    assert parse_json("\ufeff{}", "it") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (nested(DEEPEST + 1), "nested more than 64 levels"),
        (nested(100_000), "nested too deeply"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply"),
        ('{"seed": ' + "9" * 400 + "}", "a number has 400 digits (999999999999...)"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice in one object"),
        ('{"loss": NaN}', "nan is no finite number"),
        ("[-1e999]", "-inf is no finite number"),
        ('{"name": "\\ud800"}', "surrogates not allowed"),
        ('{"\\ud800": 1}', "surrogates not allowed"),
        ("{", "line 1 column 2"),
        ("", "Expecting value"),
        (b"\xff\xfe\xff", "is not valid JSON"),
        (b"{'a'\x00: 1}", "is not valid JSON"),
    ],
)
def test_what_is_refused_is_named(text: str | bytes, says: str) -> None:
    with pytest.raises(UsageError, match=r"^it is not valid JSON: ") as refused:
        parse_json(text, "it")
    assert says in str(refused.value)


def test_limits_are_the_last_that_pass() -> None:
    assert parse_json(nested(DEEPEST), "it")
    assert parse_json("9" * LONGEST_NUMBER, "it") == 10**LONGEST_NUMBER - 1


def test_the_caller_chooses_the_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        parse_json("?", "it", ModelError)
    with pytest.raises(ModelError, match="is no file"):
        read_json_file(tmp_path, ModelError)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(10**12)  # sparse: reading it would fill the memory
    with pytest.raises(UsageError, match="has 1000000000000 bytes"):
        read_json_file(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UsageError, match="is no file"):
        read_json_file(tmp_path / "pipe.json")
