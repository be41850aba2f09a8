"""The environment of the scripts: a folder ``.venv`` in the repository, made at the first start.

Only the standard library, in words that Python 3.8 can still read, so that an old Python gets a
sentence and not a syntax error. What was installed is noted in a stamp inside the folder, written
last: a folder without a fitting stamp is incomplete and is made anew.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "medsegtrainer.json"
LOG = VENV / "install.log"
LOCK = ROOT / ".venv.lock"
OLDEST_PYTHON = (3, 10)
LOG_LINES_SHOWN = 25


def enter(*extras: str) -> None:
    """Returns inside the environment: this script is started again there, and its exit code handed on."""
    python = ensure(*extras)
    if not _inside():
        raise SystemExit(run([python, str(Path(sys.argv[0]).resolve()), *sys.argv[1:]]))


def ensure(*extras: str) -> str:
    """The interpreter of an environment that holds the project with ``extras``; makes or completes it.

    Ends the script with exit code 2 where this Python cannot make one, and 1 where installing fails.
    """
    _refuse_old_python()
    try:
        if not _is_complete(extras):
            with _only_one():
                if not _is_complete(extras):  # another run may have made it meanwhile
                    _install(extras)
    except OSError as error:
        _end(f"The environment cannot be made in {VENV}: {error}.\nSee that the disk has room and may be written to.")
    except KeyboardInterrupt:
        _end("Stopped before the environment was ready; the next start makes it anew.", code=130)
    return str(_python())


def run(command: Sequence[str], cwd: Path | None = None) -> int:
    """Exit code of a command that shares this terminal.

    Ctrl-C reaches the command too, which is given the time to end by itself.
    """
    environment = {**os.environ, "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(VENV / "matplotlib"))}
    process = subprocess.Popen(command, cwd=cwd, env=environment)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue
        return code if code >= 0 else 128 - code


def _install(extras: Sequence[str]) -> None:
    started = time.monotonic()
    stamp = _read_stamp()
    wanted = sorted({*extras, *stamp.get("extras", [])})
    kept = stamp.get("place") == _place() and _has_all_packages(stamp)
    if kept:
        print("Completing the environment in .venv ...", flush=True)
        STAMP.unlink()
    else:
        print("Making the environment in .venv: once, some minutes, most of it for PyTorch ...", flush=True)
        _make_venv()
    target = ".[" + ",".join(wanted) + "]" if wanted else "."
    _pip("install", "--constraint", "constraints.txt", "--editable", target)
    stamp = {"place": _place(), "sources": _sources(), "extras": wanted, "packages": _packages()}
    temporary = STAMP.with_suffix(".tmp")
    temporary.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    temporary.replace(STAMP)
    print(f"The environment is ready after {time.monotonic() - started:.0f} s.", flush=True)


def _make_venv() -> None:
    """An empty environment, whatever the folder held before."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        _end(
            f"This Python ({sys.executable}) lacks its module '{missing[0]}' and cannot make an environment.\n"
            f"On Debian and Ubuntu install it with: sudo apt install python{version}-venv\n"
            "Elsewhere use a Python from python.org. Then start the script again.",
            code=2,
        )
    # The base interpreter, because this one may live in the very folder that is cleared.
    base = getattr(sys, "_base_executable", None) or sys.executable
    result = subprocess.run(
        [base, "-I", "-m", "venv", "--clear", str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if result.returncode != 0:
        _end(
            f"{result.stdout.decode(errors='replace').strip()}\n"
            f"The environment could not be made in {VENV}. Close programs that use it, see that the disk has room\n"
            "and that the folder may be written, then start the script again."
        )


def _pip(*arguments: str) -> None:
    """Runs pip with its output in a log, of which the end is shown when it fails."""
    command = [str(_python()), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    with LOG.open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code != 0:
        lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
        _end(
            "\n".join(lines[-LOG_LINES_SHOWN:]) + "\n\n"
            f"Installing failed; all that pip said is in {LOG}.\n"
            "Most often it is the network (behind a proxy, set HTTPS_PROXY) or a full disk (PyTorch for NVIDIA GPUs\n"
            "takes about 8 GB). Mend that, then start the script again."
        )


@contextmanager
def _only_one() -> Iterator[None]:
    """Waits until no other run makes the environment; the system frees the lock of a run that died."""
    with LOCK.open("a+b") as stream:
        told = False
        while not _try_lock(stream.fileno()):
            if not told:
                print("Another run is making the environment; waiting for it ...", flush=True)
            told = True
            time.sleep(0.5)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks at all: then it is better to go on than to wait for ever.
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _is_complete(extras: Sequence[str]) -> bool:
    stamp = _read_stamp()
    return (
        stamp.get("place") == _place()
        and stamp.get("sources") == _sources()
        and set(extras) <= set(stamp.get("extras", []))
        and _has_all_packages(stamp)
    )


def _read_stamp() -> dict[str, Any]:
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _place() -> str:
    """What an environment cannot be carried away from: its folder, and the Python it was made with."""
    return f"{VENV} {sys.version_info[0]}.{sys.version_info[1]}"


def _sources() -> str:
    """Changes when what is to be installed changes."""
    files = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _packages() -> list[str]:
    """Names at the top of the environment's packages: a missing one shows that somebody removed it."""
    folder = VENV / "Lib" / "site-packages"
    if os.name != "nt":
        folder = VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    return sorted(path.name for path in folder.glob("*") if path.name != "__pycache__")


def _has_all_packages(stamp: dict[str, Any]) -> bool:
    return _python().exists() and set(stamp.get("packages", [])) <= set(_packages())


def _python() -> Path:
    return VENV / "Scripts" / "python.exe" if os.name == "nt" else VENV / "bin" / "python"


def _inside() -> bool:
    return Path(sys.prefix).samefile(VENV)


def _refuse_old_python() -> None:
    if sys.version_info[:2] < OLDEST_PYTHON:
        _end(
            "MedSegTrainer needs Python {}.{} or newer, and this is Python {}.{} ({}). "
            "Start the script with a newer one.".format(*OLDEST_PYTHON, *sys.version_info[:2], sys.executable),
            code=2,
        )


def _end(message: str, *, code: int = 1) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    raise SystemExit(code)
