from __future__ import annotations

from pathlib import Path

import pytest
from MedSegTrainerUI.build_words import (
    DISK_IS_FULL,
    NOT_ALLOWED,
    expected_size,
    failure_words,
    free_bytes,
    gigabytes,
)

PROXY = "did not let the download through"
CERTIFICATE = "a certificate that is not trusted"
NETWORK = "no connection to the server"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", DISK_IS_FULL),
        ("error: failed to write: There is not enough space on the disk. (os error 112)", DISK_IS_FULL),
        ("WARNING: Retrying after ProxyError('Cannot connect to proxy.', OSError('Tunnel failed: 407'))", PROXY),
        ("  cause: tunnel error: failed to create underlying connection\n  cause: Connection refused", PROXY),
        ("invalid peer certificate: UnknownIssuer", CERTIFICATE),
        ("SSLCertVerificationError: certificate verify failed: self-signed certificate in chain", CERTIFICATE),
        ("  cause: dns error\n  cause: failed to lookup address information: Name or service not known", NETWORK),
        ("Failed to establish a new connection: [Errno 101] Network is unreachable", NETWORK),
        ("error: failed to remove file: Access is denied. (os error 5)", NOT_ALLOWED),
        ("ERROR: No matching distribution found for torch==9", "does not exist for this computer"),
        ("No solution found when resolving dependencies", "does not exist for this computer"),
        ("Error: No module named ensurepip", "cannot make environments"),
        ("first\nsomething else\n\n", "uv failed (exit code 1): something else."),
        ("", "it said nothing"),
    ],
)
def test_the_reason_is_told(said: str, told: str) -> None:
    assert told in failure_words("uv", 1, said)


@pytest.mark.parametrize("code", [-9, 137])
def test_a_tool_that_was_killed(code: int) -> None:
    assert "memory ran out" in failure_words("pip", code, "Downloading torch")


def test_cuda_is_what_is_large() -> None:
    assert expected_size(True, "win32").download > 3 * expected_size(False, "win32").download
    assert expected_size(True, "darwin") == expected_size(False, "darwin")
    for platform in ("linux", "win32", "darwin"):
        assert expected_size(True, platform).disk > expected_size(True, platform).download


def test_sizes_in_words() -> None:
    assert [gigabytes(count) for count in (3_200_000_000, 10**9, 600_000_000)] == ["3.2 GB", "1.0 GB", "600 MB"]


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b" / "c") > 0
