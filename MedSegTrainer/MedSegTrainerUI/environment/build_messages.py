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

from MedSegTrainerUI.environment.build_texts import translated
from MedSegTrainerUI.environment.build_texts import translated as _

GIGABYTE = 10**9
WINDOWS_LIBRARY = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll"


# Texts here are read before the catalogue is, and so are translated where they are used: see kind_message.
# kind: what pip, uv, Python or PyTorch print, and what that means for the user; the first that fits is told.
# Windows says errors in its own language: there the numbers are what can be known.
KINDS = {
    "disk": (
        r"no space left|not enough space|disk quota|os error 28\b|(os |win)error 112\b|errno 28\b|errno 122\b",
        _("The disk is full. Free some space, then press Repair.")),
    "antivirus": (
        r"(os |win)error 22[56]\b|contains a virus",
        _("The virus scanner of this computer took a file of a package away. Ask whoever looks after the computer to "
          "except the folder MedSegTrainer in your home folder, then press Repair.")),
    "locked": (
        r"used by another process|(?<!broken pipe \()(os |win)error 3[23]\b|resource busy|text file busy",
        _("A file is held by another program, most often by the virus scanner while it looks at new files, or by a "
          "training. Stop trainings and press Repair; where it comes again, have the folder MedSegTrainer in your "
          "home folder excepted from scanning.")),
    "not allowed": (
        r"permission denied|access is denied|os error 13\b|(os |win)error 5\b|errno 13\b|read-only file system"
        r"|operation not permitted",
        _("A file may not be written. Close programs that use the folder (a training, a virus scanner), see that you "
          "may write there, then press Repair.")),
    "proxy login": (
        r"407 proxy|status code 407\b|proxy authenticat|proxy authoriz",
        _("The proxy of this network did not let the download through: it wants a name and a password. Set both in "
          "the system's environment variable HTTPS_PROXY (http://name:password@address:port), restart Slicer and "
          "press Repair.")),
    "proxy": (
        r"proxyerror|cannot connect to proxy|tunnel error|unsuccessful tunnel|tunnel connection failed",
        _("The proxy of this network did not let the download through, or its address is wrong. Ask for the right "
          "one, set it as HTTPS_PROXY in the system's environment variables, restart Slicer and press Repair. Where "
          "downloads are forbidden, install from a folder of wheels.")),
    "certificate": (
        r"certificate|unknownissuer|sslerror",
        _("The network shows a certificate that is not trusted, as proxies do that read along. Ask the people who run "
          "it for their certificate file, name it in the environment variable SSL_CERT_FILE, restart Slicer, press "
          "Repair.")),
    "refused": (
        r"\b401 (unauthorized|client error)|\b403 (forbidden|client error)|valid authentication credentials",
        _("The server of the packages refuses this computer: it wants a login, or the network forbids it. Ask the "
          "people who run the network, or install from a folder of wheels.")),
    "server": (
        r"http status server error|\b50[0234] (server error|internal|bad gateway|service|gateway)|\b429 too many",
        _("The server of the packages does not work at the moment. Press Repair in some minutes: what was loaded "
          "already is kept.")),
    "network": (
        r"dns error|could not resolve|nameresolution|name resolution|getaddrinfo|name or service not known"
        r"|network is unreachable|no route to host|connection refused|connection reset|connecttimeout|readtimeout"
        r"|timed out|error sending request|tcp connect|newconnectionerror|failed to fetch|connection aborted"
        r"|remote end closed|incomplete-download|incompleteread|(os |win)error (100[56]\d|11001)\b|errno 11001\b",
        _("There is no connection to the server of the packages, or it broke off. Check that this computer is on the "
          "Internet (behind a proxy, set HTTPS_PROXY), then press Repair: what was loaded already is kept. Without "
          "Internet, install from a folder of wheels.")),
    "hash": (
        r"hash mismatch|do not match the hashes",
        _("A package is not the file that was meant (its hash differs): it was damaged on its way, or changed. Press "
          "Repair to load it again; where it stays so, tell the people who run the network, or fill the folder of "
          "wheels anew.")),
    "damaged": (
        r"badzipfile|invalid zip|incorrect data check|content-length|invalid package format|located at .* is invalid"
        r"|failed to read from zip",
        _("A download arrived damaged. Press Repair to load it again.")),
    "memory": (
        r"memoryerror|cannot allocate memory|os error 12\b",
        _("The computer ran out of memory while packages were unpacked. Close other programs, then press Repair.")),
    "driver": (
        r"driver on your system is too old|driver version is insufficient",
        _("The driver of the NVIDIA GPU is too old for this PyTorch. Install the newest driver from NVIDIA, restart "
          "the computer and press Test; or choose the CPU under Train on, which is much slower.")),
    "venv": (
        r"no module named '?(venv|ensurepip)|ensurepip is not available",
        _("The Python of this computer cannot make environments (on Debian and Ubuntu: sudo apt install python3-venv). "
          "Install that, or a Python 3.12 from python.org, then press Repair.")),
    "no wheel": (
        r"no wheels with a matching|not a supported wheel|requires-python|does not satisfy python"
        r"|from versions: (?!none)",
        _("A package does not exist for this computer and its Python. Install Python 3.12 from python.org and press "
          "Repair, or choose an existing Python with PyTorch.")),
    "no package": (
        r"no solution found|no matching distribution|could not find a version",
        _("The server of the packages has no file of a package that fits this computer and its Python; a server of "
          "a company may lack it, or refuse it. Ask the people who run it, or install Python 3.12 from python.org, "
          "then press Repair.")),
}  # fmt: skip
NOT_IN_FOLDER = _(
    "The folder of wheels lacks a package, or has it for another Python or system only. Fill it on a computer with "
    "the same system and the same version of Python, then press Repair."
)
HOPELESS = ("disk", "not allowed")  # for other tools too
VAGUE = ("", "no package")  # pip says this, too, when a server refused or could not be reached
LAST_LINES = 3  # of what a tool said, where nobody knows what it means


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


def full_disk_text(folder: Path, needed: int, free: int) -> str:
    return _(
        "There is too little space for PyTorch in {folder}: {needed} are needed, {free} are free. Free some space, "
        "then press Set up, or choose an existing Python."
    ).format(folder=folder, needed=gigabytes(needed), free=gigabytes(free))


def failure_kind(said: str, earlier: str = "") -> str:
    """The key in KINDS of what a tool said, '' where it is none; ``earlier``: what others said that failed before.

    What a tool calls an error counts before what it only warned of.
    """
    errors = re.search(r"^(error\b.*)", said, re.IGNORECASE | re.MULTILINE | re.DOTALL)
    kinds = [_first_kind(text) for text in (errors[0] if errors else "", said, earlier)]
    return next((kind for kind in kinds if kind not in VAGUE), max(kinds))


def _first_kind(text: str) -> str:
    return next((kind for kind, (sign, _words) in KINDS.items() if re.search(sign, text, re.IGNORECASE)), "")


def failure_text(what: str, code: int, said: str, earlier: str = "", *, folder: bool = False) -> str:
    """Why a tool ended with ``code``; ``said`` is the end of what it printed. folder: it took wheels from a folder."""
    if code < 0 or code in (137, 143):
        message = _("{what} was ended by the system or by another program; most often memory ran out. Press Repair.")
        return message.format(what=what)
    kind = failure_kind(said, earlier)
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [_("it said nothing")]
    if kind in ("no wheel", "no package"):
        message = translated(NOT_IN_FOLDER) if folder else kind_message(kind)
        return f"{message}\n{_naming_package(lines)[:300]}"
    if kind:
        return kind_message(kind)
    last = "\n".join(lines[-LAST_LINES:])
    message = _("{what} failed (exit code {code}): {said}. The log tells more; Repair tries it again.")
    return message.format(what=what, code=code, said=last[-600:])


def kind_message(kind: str) -> str:
    """What a key of KINDS means for the user."""
    return translated(KINDS[kind][1])


def _naming_package(lines: list[str]) -> str:
    """The line of uv or pip that names the package."""
    signs = ("cause: because", "error: no matching distribution")
    return next((line for line in lines if line.lower().startswith(signs)), lines[-1])
