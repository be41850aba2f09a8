"""What an environment is made with: interpreters of this computer, and the variables that tools are started with.

Only the standard library is imported.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from MedSegTrainerUI.jobs.process import without_python_variables

STARTUP_VARIABLE = "MEDSEGTRAINER_STARTUP"  # JSON: what the launcher of Slicer's Python changes, as it was before
SYSTEM_PYTHONS = ("python3.12", "python3.13", "python3.11", "python3.10", "python3.14", "python3", "python")
OLDEST, NEWEST = (3, 10), (3, 14)


def system_pythons(environment: dict[str, str]) -> Iterator[str]:
    """Interpreters of the right age, this one first where it is not Slicer's own, which runs in its launcher only."""
    own = "slicer" in sys.executable.lower() or "python-real" in sys.executable or "APPLAUNCHER_LEVEL" in os.environ
    if not own and OLDEST <= sys.version_info[:2] <= NEWEST:
        yield getattr(sys, "_base_executable", None) or sys.executable
    for name in SYSTEM_PYTHONS:
        path = shutil.which(name, path=environment.get("PATH"))
        if path and _python_fits(path, environment):
            yield path


def _python_fits(path: str, environment: dict[str, str]) -> bool:
    ask = "import sys; print(sys.version_info[0], sys.version_info[1])"
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        output = subprocess.run([path, "-I", "-c", ask], capture_output=True, env=environment, timeout=60, check=True)
        major, minor = map(int, output.stdout.split())
        return OLDEST <= (major, minor) <= NEWEST
    return False


def tool_environment(root: Path) -> dict[str, str]:
    """Variables for uv, pip and the new Python: those Slicer was started with, all folders inside ``root``."""
    environment = dict(os.environ)
    with suppress(ValueError):
        for name, value in json.loads(environment.pop(STARTUP_VARIABLE, "{}")).items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
    if os.name == "nt":  # where Path and PATH are one
        environment = {name.upper(): value for name, value in environment.items()}
    environment = {name: value for name, value in environment.items() if not name.startswith("APPLAUNCHER_")}
    for scheme, address in urllib.request.getproxies().items():  # on Windows and macOS those of the system settings
        name = f"{scheme.upper()}_PROXY"
        if scheme in ("http", "https") and not any(key in environment for key in (name, name.lower())):
            environment[name] = address
    return {**without_python_variables(environment), **own_folders(root)}


def own_folders(root: Path) -> dict[str, str]:
    """Temporary files and downloads: a system's own place for them is often too small, and is not removed with us."""
    for name in ("tmp", "cache"):
        (root / name).mkdir(parents=True, exist_ok=True)
    folders = {name: str(root / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    uv = {"UV_CACHE_DIR": root / "cache" / "uv", "UV_PYTHON_INSTALL_DIR": root / "python"}
    return {
        **folders,
        **{name: str(path) for name, path in uv.items()},
        "PIP_CACHE_DIR": str(root / "cache" / "pip"),
        "UV_PYTHON_INSTALL_BIN": "0",
        "UV_PYTHON_INSTALL_REGISTRY": "0",
        "UV_NO_PROGRESS": "1",
        "UV_SYSTEM_CERTS": "1",
    }
