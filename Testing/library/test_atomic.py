"""Whole files or none, and disk errors in words."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import BinaryIO

import pytest

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import StorageError


class TestWrite:
    def test_replaces_the_content(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        atomic.write_json(path, {"a": 1})
        atomic.write_json(path, {"b": [2, None, "é"]})
        assert json.loads(path.read_bytes()) == {"b": [2, None, "é"]}
        assert list(tmp_path.iterdir()) == [path]

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "a.bin"
        atomic.write_bytes(path, b"old")

        def fail(stream: BinaryIO) -> None:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(StorageError, match=r"a\.bin: the disk .* is full"):
            atomic.write_with(path, fail)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_another_error_passes_and_leaves_nothing(self, tmp_path: Path) -> None:
        def fail(stream: BinaryIO) -> None:
            raise KeyError("mistake")

        with pytest.raises(KeyError):
            atomic.write_with(tmp_path / "a", fail)
        assert list(tmp_path.iterdir()) == []

    def test_not_a_number_is_no_json(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            atomic.write_json(tmp_path / "a.json", {"loss": float("nan")})
        assert list(tmp_path.iterdir()) == []


class TestTemporary:
    def test_keeps_the_suffixes_and_hides(self) -> None:
        path = Path("folder") / "case.seg.nrrd"
        temporary = atomic.temporary_beside(path)
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".seg.nrrd")
        assert temporary != atomic.temporary_beside(path)


class TestStorageErrors:
    @pytest.mark.parametrize(
        "number, message",
        [(errno.ENOSPC, "full"), (errno.EDQUOT, "full"), (errno.EACCES, "not allowed"), (errno.EROFS, "not allowed")],
    )
    def test_says_what_to_do(self, number: int, message: str, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=message) as caught, atomic.storage_errors(tmp_path / "a"):
            raise OSError(number, "reason of the system")
        assert str(tmp_path / "a") in str(caught.value)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="No such file"):
            atomic.write_bytes(tmp_path / "missing" / "a", b"")
