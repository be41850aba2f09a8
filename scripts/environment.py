"""The environments of the scripts: a folder ``.venv`` in the repository, made at the first start, and in it others
that hold what cannot live together with the project, made when they are first asked for.

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
STAMP, LOG = "medsegtrainer.json", "install.log"
LOCK = ROOT / ".venv.lock"
OLDEST_PYTHON = (3, 10)
LOG_LINES_SHOWN = 25


class NotMadeError(Exception):
    """Why there is no environment, and what to do. ``log``: the end of what pip said; ``code``: for the exit."""

    def __init__(self, message: str, *, log: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.log, self.code = log, code


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
            with _only_one(LOCK):
                if not _is_complete(extras):  # another run may have made it meanwhile
                    _install(extras)
    except NotMadeError as error:
        _end(f"{error.log}{error}", code=error.code)
    except OSError as error:
        _end(f"The environment cannot be made in {VENV}: {error}.\nSee that the disk has room and may be written to.")
    except KeyboardInterrupt:
        _end("Stopped before the environment was ready; the next start makes it anew.", code=130)
    return str(_python(VENV))


def ensure_apart(requirements: Path, place: Path = VENV) -> str:
    """The interpreter of an environment in ``place``, named after ``requirements``, that holds exactly those packages.

    Nothing that they would need is added: the file names it all. Versions it leaves open are those of constraints.txt.
    Raises NotMadeError.
    """
    folder = place / requirements.stem
    expected = {"place": _place(folder), "sources": _sources(requirements, ROOT / "constraints.txt")}
    try:
        if not _is_apart(folder, expected):
            place.mkdir(parents=True, exist_ok=True)
            with _only_one(folder.with_suffix(".lock")):
                if not _is_apart(folder, expected):
                    _install_apart(folder, requirements, expected)
    except OSError as error:
        raise NotMadeError(f"The environment cannot be made in {folder}: {error}.") from error
    return str(_python(folder))


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
    stamp = _read_stamp(VENV)
    all_extras = sorted({*extras, *stamp.get("extras", [])})
    is_usable = stamp.get("place") == _place(VENV) and _has_all_packages(VENV, stamp)
    if is_usable:
        print("Completing the environment in .venv ...", flush=True)
        (VENV / STAMP).unlink()
    else:
        print("Making the environment in .venv: once, some minutes, most of it for PyTorch ...", flush=True)
        _make_venv(VENV)
    target = ".[" + ",".join(all_extras) + "]" if all_extras else "."
    _pip_install(VENV, "setuptools")  # it builds the project; where pip builds in isolation, it takes the newest
    _pip_install(VENV, "--no-build-isolation", "--editable", target)
    _write_stamp(VENV, {"place": _place(VENV), "sources": _sources(), "extras": all_extras})
    print(f"The environment is ready after {time.monotonic() - started:.0f} s.", flush=True)


def _install_apart(folder: Path, requirements: Path, stamp: dict[str, Any]) -> None:
    print(f"Making the environment {requirements.stem}: once, some minutes ...", flush=True)
    _make_venv(folder)
    # Packages without a wheel are built with the setuptools of this environment, so that no other is fetched.
    _pip_install(folder, "setuptools")
    _pip_install(folder, "--no-deps", "--no-build-isolation", "--requirement", str(requirements))
    _write_stamp(folder, stamp)


def _write_stamp(folder: Path, values: dict[str, Any]) -> None:
    temporary = (folder / STAMP).with_suffix(".tmp")
    temporary.write_text(json.dumps({**values, "packages": _packages(folder)}, indent=1), encoding="utf-8")
    temporary.replace(folder / STAMP)


def _make_venv(folder: Path) -> None:
    """An empty environment, whatever the folder held before; what a link leads to is somebody else's, and stays."""
    if folder.is_symlink():
        raise NotMadeError(
            f"{folder} is a link to {folder.resolve()}, which does not fit this tree, and is not cleared for it.\n"
            "Remove the link, then start the script again.",
            code=2,
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise NotMadeError(
            f"This Python ({sys.executable}) lacks its module '{missing[0]}' and cannot make an environment.\n"
            f"On Debian and Ubuntu install it with: sudo apt install python{version}-venv\n"
            "Elsewhere use a Python from python.org. Then start the script again.",
            code=2,
        )
    # The base interpreter, because this one may live in the very folder that is cleared.
    base = getattr(sys, "_base_executable", None) or sys.executable
    result = subprocess.run(
        [base, "-I", "-m", "venv", "--clear", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode != 0:
        raise NotMadeError(
            f"{result.stdout.decode(errors='replace').strip()}\n"
            f"The environment could not be made in {folder}. Close programs that use it, see that the disk has room\n"
            "and that the folder may be written, then start the script again."
        )


def _pip_install(folder: Path, *arguments: str) -> None:
    """Runs pip with the versions of constraints.txt; its output goes to a log, whose end is shown when it fails."""
    pip = [str(_python(folder)), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "install", "--constraint", "constraints.txt", *arguments]
    with (folder / LOG).open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code != 0:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        raise NotMadeError(
            f"Installing failed; all that pip said is in {folder / LOG}.\n"
            "Most often it is the network (behind a proxy, set HTTPS_PROXY) or a full disk (PyTorch for NVIDIA GPUs\n"
            "takes about 8 GB). Mend that, then start the script again.",
            log="\n".join(lines[-LOG_LINES_SHOWN:]) + "\n\n",
        )


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Waits until no other run makes the environment; the system frees the lock of a run that died."""
    with lock.open("a+b") as stream:
        announced = False
        while not _try_lock(stream.fileno()):
            if not announced:
                print("Another run is making the environment; waiting for it ...", flush=True)
            announced = True
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
    stamp = _read_stamp(VENV)
    return (
        stamp.get("place") == _place(VENV)
        and stamp.get("sources") == _sources()
        and set(extras) <= set(stamp.get("extras", []))
        and _has_all_packages(VENV, stamp)
    )


def _is_apart(folder: Path, expected: dict[str, Any]) -> bool:
    stamp = _read_stamp(folder)
    return expected.items() <= stamp.items() and _has_all_packages(folder, stamp)


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _place(folder: Path) -> str:
    """What an environment cannot be carried away from: its folder, and the Python it was made with."""
    return f"{folder} {sys.version_info[0]}.{sys.version_info[1]}"


def _sources(*files: Path) -> str:
    """Changes when what is to be installed changes."""
    files = files or (ROOT / "pyproject.toml", ROOT / "constraints.txt")
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _packages(folder: Path) -> list[str]:
    """Names at the top of the environment's packages: a missing one shows that somebody removed it."""
    inside = folder / "Lib" / "site-packages"
    if os.name != "nt":
        inside = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    return sorted(path.name for path in inside.glob("*") if path.name != "__pycache__")


def _has_all_packages(folder: Path, stamp: dict[str, Any]) -> bool:
    return _python(folder).exists() and set(stamp.get("packages", [])) <= set(_packages(folder))


def _python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


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
