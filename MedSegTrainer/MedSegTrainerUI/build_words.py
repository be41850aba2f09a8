"""How large an environment is, and what the tools that build one say, in words that tell what to do.

Only the standard library is imported.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

GIGABYTE = 10**9
WINDOWS_LIBRARY = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll"

DISK_IS_FULL = "The disk is full. Free some space, then press Repair."
NOT_ALLOWED = (
    "A file may not be written. Close programs that use the folder (a training, a virus scanner), see that you may "
    "write there, then press Repair."
)
# what pip, uv or the system say; the first that fits is told
SIGNS = (
    (r"no space left|not enough space|disk quota|os error 28\b|os error 112\b|errno 28\b|errno 122\b",
     DISK_IS_FULL),
    (r"\b407\b|proxy authentication|ProxyError|cannot connect to proxy|tunnel error|unsuccessful tunnel",
     "The proxy of this network did not let the download through. Ask for its address (with name and password if it "
     "needs them), set it as HTTPS_PROXY in the system's environment variables, restart Slicer and press Repair."),
    (r"certificate|UnknownIssuer|SSLError",
     "The network shows a certificate that is not trusted, as proxies do that read along. Ask the people who run it "
     "for their certificate file, name it in the environment variable SSL_CERT_FILE, restart Slicer, press Repair."),
    (r"dns error|could not resolve|nameresolution|name resolution|getaddrinfo|name or service not known"
     r"|network is unreachable|connection refused"
     r"|connection reset|connecttimeout|readtimeout|timed out|error sending request|tcp connect|newconnectionerror"
     r"|failed to fetch|connection aborted|remote end closed",
     "There is no connection to the server of the packages. Check that this computer is on the Internet (behind a "
     "proxy, set HTTPS_PROXY), then press Repair: what was loaded already is kept."),
    (r"permission denied|access is denied|os error 13\b|os error 5\b|winerror 5\b|winerror 32\b|errno 13\b"
     r"|read-only file system|operation not permitted",
     NOT_ALLOWED),
    (r"no solution found|no matching distribution|could not find a version|not a supported wheel|no wheels",
     "A package does not exist for this computer and this Python. Choose an existing Python with PyTorch instead, "
     "and please report this with the log."),
    (r"hash mismatch|do not match the hashes",
     "A download is not the file that was meant (its hash differs): it was damaged on its way, or changed. Press "
     "Repair to load it again; where it stays so, tell the people who run the network."),
    (r"badzipfile|invalid zip|incorrect data check|content-length",
     "A download arrived damaged. Press Repair to load it again."),
    (r"memoryerror|cannot allocate memory|os error 12\b",
     "The computer ran out of memory while packages were unpacked. Close other programs, then press Repair."),
    (r"no module named '?(venv|ensurepip)|ensurepip is not available",
     "The Python of this computer cannot make environments (on Debian and Ubuntu: sudo apt install python3-venv). "
     "Install that, or a Python 3.12 from python.org, then press Repair."),
)  # fmt: skip


class Size(NamedTuple):
    """Bytes to download, and on the disk when all is done."""

    download: int
    disk: int


def expected_size(nvidia: bool, platform: str = sys.platform) -> Size:
    """About what PyTorch and all other packages take. PyTorch for NVIDIA GPUs brings CUDA along."""
    if platform == "darwin":
        return Size(400_000_000, 1_500_000_000)
    if nvidia:
        return Size(3_200_000_000, 8 * GIGABYTE)
    # without a GPU uv takes the small build; pip takes what the usual index has, on Linux the large one
    return Size(600_000_000, 2_500_000_000)


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is installed; asks no driver, so that it takes no time."""
    if sys.platform == "win32":
        return WINDOWS_LIBRARY.exists()
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def free_bytes(folder: Path) -> int:
    """Free space where ``folder`` is, or will be made."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def gigabytes(count: int) -> str:
    """``3.2 GB``; less than a gigabyte as ``600 MB``."""
    return f"{count / GIGABYTE:.1f} GB" if count >= GIGABYTE else f"{count / 10**6:.0f} MB"


def full_disk_words(folder: Path, needed: int, free: int) -> str:
    return (
        f"There is too little space for PyTorch in {folder}: {gigabytes(needed)} are needed, {gigabytes(free)} are "
        "free. Free some space, then press Set up, or choose an existing Python."
    )


def failure_words(what: str, code: int, said: str) -> str:
    """Why a tool ended with ``code``; ``said`` is the end of what it printed."""
    if code < 0 or code in (137, 143):
        return f"{what} was ended by the system or by another program; most often memory ran out. Press Repair."
    for sign, words in SIGNS:
        if re.search(sign, said, re.IGNORECASE):
            return words
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    return f"{what} failed (exit code {code}): {last[:300]}. The log tells more; Repair tries it again."
