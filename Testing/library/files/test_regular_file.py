"""Whatever is no file is refused before it is opened, for a pipe would be waited for without end."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.files.regular_file import refuse_no_file


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        refuse_no_file(path)
    return str(caught.value)


def test_a_file_and_a_link_to_one_pass(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    refuse_no_file(tmp_path / "a")
    refuse_no_file(tmp_path / "b")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder, and a file is needed" in refusal(tmp_path)


def test_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").symlink_to("annex/x.nii.gz")
    message = refusal(tmp_path / "a.nii.gz")
    assert "is a link to" in message and "x.nii.gz, which is not there" in message


def test_nothing_there_and_the_error_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        refuse_no_file(tmp_path / "a", UsageError)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipe_socket_and_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(tmp_path / "pipe")
    assert "is a device" in refusal(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(tmp_path)  # the name of a socket must be short
        try:
            server.bind("s")
        finally:
            os.chdir(before)
        assert "is a socket" in refusal(tmp_path / "s")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    message = refusal(tmp_path / os.fsdecode(b"M\xfcller.nii.gz"))
    assert r"M\xfcller.nii.gz" in message and "not UTF-8" in message and "convmv" in message
    message.encode()
    assert "NUL" in refusal(tmp_path / "a\0b")
