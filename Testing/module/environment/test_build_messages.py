from __future__ import annotations

from pathlib import Path

import pytest
from installer_texts import PIP_NONE, TEXTS
from MedSegTrainerUI.environment.build_messages import (
    KINDS,
    NOT_IN_FOLDER,
    expected_size,
    failure_kind,
    failure_text,
    free_bytes,
    gigabytes,
)

RECORDED = [(kind, text) for kind, texts in TEXTS.items() for text in texts]
RETRIED = "WARNING: Retrying after 'ReadTimeoutError(read timed out)'\n"


@pytest.mark.parametrize(
    ("kind", "said"), RECORDED, ids=[f"{kind}-{number}" for number, (kind, _) in enumerate(RECORDED)]
)
def test_the_kind_is_known_by_what_is_printed(kind: str, said: str) -> None:
    assert failure_kind(said) == kind
    assert failure_text("uv", 1, said).splitlines()[0] == KINDS[kind][1]


def test_every_kind_was_recorded() -> None:
    assert TEXTS.keys() == KINDS.keys()


def test_every_kind_says_what_to_do() -> None:
    for kind, (_sign, words) in KINDS.items():
        assert any(sign in words for sign in ("press Repair", "Press Repair", "press Test", "install from")), kind


def test_an_error_counts_before_what_was_retried() -> None:
    assert failure_kind(RETRIED + TEXTS["hash"][1]) == "hash"
    assert failure_kind(RETRIED + PIP_NONE) == "network"


def test_where_pip_tells_nothing_the_tool_before_is_asked() -> None:
    assert failure_kind(PIP_NONE, TEXTS["refused"][0]) == "refused"
    assert failure_kind(PIP_NONE, "") == failure_kind(PIP_NONE, "something else") == "no package"
    assert failure_kind(TEXTS["disk"][0], TEXTS["refused"][0]) == "disk"


def test_a_broken_pipe_is_no_locked_file() -> None:
    assert failure_kind("error: failed to write: Broken pipe (os error 32)") == ""


def test_a_missing_package_is_named() -> None:
    assert failure_text("pip", 1, PIP_NONE).endswith("ERROR: No matching distribution found for tinypackage==1.0")
    words = failure_text("uv", 1, TEXTS["no wheel"][0], folder=True)
    assert words.startswith(NOT_IN_FOLDER) and "cause: Because tinypackage==1.0 has no wheels" in words


def test_the_last_lines_of_what_nobody_knows() -> None:
    told = failure_text("uv", 1, "zero\nfirst\nsecond\n\nthird\n\n")
    assert told.startswith("uv failed (exit code 1): first\nsecond\nthird.")
    assert "it said nothing" in failure_text("uv", 1, "")


@pytest.mark.parametrize("code", [-9, 137])
def test_a_tool_that_was_killed(code: int) -> None:
    assert "memory ran out" in failure_text("pip", code, "Downloading torch")


def test_cuda_is_what_is_large() -> None:
    assert expected_size(True, "win32").download > 3 * expected_size(False, "win32").download
    assert expected_size(True, "darwin") == expected_size(False, "darwin")
    for platform in ("linux", "win32", "darwin"):
        assert expected_size(True, platform).disk > expected_size(True, platform).download


def test_sizes_in_words() -> None:
    assert [gigabytes(count) for count in (3_200_000_000, 10**9, 600_000_000)] == ["3.2 GB", "1.0 GB", "600 MB"]


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b" / "c") > 0
