"""Makes an environment with all packages: by uv, or by pip where uv is not to be had; from indexes or from a folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from MedSegTrainerLib import atomic
from MedSegTrainerLib.events import Warned
from MedSegTrainerUI.environment.build_messages import (
    VAGUE,
    expected_size,
    failure_kind,
    failure_text,
    has_nvidia,
    kind_message,
)
from MedSegTrainerUI.environment.build_texts import translated as _
from MedSegTrainerUI.environment.build_tools import own_folders, system_pythons
from MedSegTrainerUI.environment.builder import Builder, BuildError
from MedSegTrainerUI.environment.wheel_folder import missing_wheels, missing_wheels_text, python_versions, venv_version

PYTHONS = ("3.12", ">=3.10,<3.15")  # what uv is asked for; the second where the first is not there and cannot be loaded
UV = Path(__file__).resolve().parents[2] / "Resources" / "uv.txt"  # the installer's version and hashes
HASHES = "hashes.txt"  # beside the requirements
OLDEST_UV = (0, 7)  # the first that picks the PyTorch for the GPU


def install(builder: Builder, python: Path) -> str:
    """An environment with all packages; returns the tool that made it. python: where its interpreter will be."""
    options = builder.options
    if options.wheels is not None and not options.wheels.is_dir():
        text = _("The folder of wheels {folder} is not there. Choose another, or empty the field.")
        raise BuildError(text.format(folder=options.wheels))
    expected = options.needed or expected_size(has_nvidia()).disk
    uv = None if options.no_uv else _find_uv(builder)
    if uv is not None and _uv_venv(builder, uv) and _uv_packages(builder, uv, python, expected):
        return "uv"
    _plain_venv(builder)
    _check_wheels(builder)
    builder.stage("packages", _loading(builder, _(" with pip")), 0.1)
    pip = [*_pip(str(python), "-I"), *_sources(builder)]
    hashes = options.requirements.with_name(HASHES)
    if hashes.exists():  # of all but PyTorch, and pip wants those of all or of none
        known = [*pip, "--require-hashes", "--no-deps", "--requirement", str(hashes)]
        builder.run("pip", known, expected=expected)
    builder.run("pip", [*pip, "--requirement", str(options.requirements)], expected=expected)
    return "pip"


def _pip(python: str, *isolated: str) -> list[str]:
    return [python, *isolated, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]


def _sources(builder: Builder) -> list[str]:
    """For pip and uv: where packages come from, where that is the folder of wheels and nothing else."""
    wheels = builder.options.wheels
    return [] if wheels is None else ["--no-index", "--find-links", str(wheels), "--only-binary", ":all:"]


def _loading(builder: Builder, tool: str = "") -> str:
    if builder.options.wheels is None:
        return _("Loading packages{tool}").format(tool=tool)
    text = _("Unpacking packages from {folder}{tool}; all hashes are checked but that of PyTorch")
    return text.format(folder=builder.options.wheels, tool=tool)


def _check_wheels(builder: Builder) -> None:
    """Raises BuildError with all that is missing: pip and uv name the first only."""
    folder = builder.options.wheels
    if folder is None:
        return
    version = venv_version(builder.venv)
    missing = missing_wheels(folder, builder.options.requirements.read_text(encoding="utf-8"), version)
    if missing:
        print(f"Missing in {folder}: {', '.join(missing)}", file=sys.stderr, flush=True)  # to the log
        raise BuildError(missing_wheels_text(folder, missing, version))


def _uv_packages(builder: Builder, uv: str, python: Path, expected: int) -> bool:
    """All packages by uv; False where pip, which may be set up for this network, should try it."""
    _check_wheels(builder)
    builder.stage("packages", _loading(builder), 0.1)
    options = builder.options
    command = [uv, "pip", "install", "--no-config", "--python", str(python), "-r", str(options.requirements)]
    hashes = options.requirements.with_name(HASHES)
    command += ["-r", str(hashes)] if hashes.exists() else []
    tries = [(_sources(builder), _("The packages could not be loaded with uv; pip is tried."))]
    if options.wheels is None:
        text = _("The PyTorch made for this GPU could not be loaded; the usual one is tried.")
        tries.insert(0, (["--torch-backend=auto"], text))
    for choice, text in tries:
        if builder.attempt("uv", [*command, *choice], expected=expected):
            return True
        builder.events(Warned(message=text))
    return False


def _find_uv(builder: Builder) -> str | None:
    """The program ``uv``: of the system, or loaded into the environment's folder; None where it cannot be had."""
    uv = shutil.which("uv", path=builder.environment.get("PATH"))
    if uv and _uv_version(builder.try_run([uv, "--version"])[1]) >= OLDEST_UV:
        return uv
    builder.stage("uv", _("Loading the installer (uv, 20 MB)"), 0.02)
    target = builder.root / "uv"
    shutil.rmtree(target, ignore_errors=True)
    pip = [*_pip(sys.executable), *_sources(builder)]
    # Slicer's Python needs its own variables to start at all; it gets them back for this one command
    clean, builder.environment = builder.environment, {**os.environ, **own_folders(builder.root)}
    try:
        pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(UV)]
        loaded = builder.attempt("pip", [*pip, "--target", str(target), "--no-deps", "--upgrade", *pinned])
    finally:
        builder.environment = clean
    program = target / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if loaded and program.exists():
        return str(program)
    text = _("The installer uv could not be loaded; pip is used instead, which takes longer.")
    builder.events(Warned(message=text))
    return None


def _uv_version(said: str) -> tuple[int, ...]:
    match = re.search(r"uv (\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0,)


def _uv_venv(builder: Builder, uv: str) -> bool:
    """An empty environment made by uv, which loads a Python where the computer has none; False where it cannot."""
    builder.stage("python", _("Making an environment with Python 3.12"), 0.05)
    _remove_tree(builder.venv)
    wheels = builder.options.wheels
    versions = PYTHONS if wheels is None else (*python_versions(wheels), *PYTHONS)
    offline = [] if wheels is None else ["--offline"]
    for version in versions:
        if builder.attempt("uv", [uv, "venv", "--no-config", *offline, "--python", version, str(builder.venv)]):
            return True
        _remove_tree(builder.venv)
    return False


def _plain_venv(builder: Builder) -> None:
    """An empty environment made by a Python of this computer; raises BuildError where there is none that can."""
    builder.stage("python", _("Making an environment with the Python of this computer"), 0.05)
    _remove_tree(builder.venv)
    text = _no_python_text(builder)
    wheels = builder.options.wheels
    names = [] if wheels is None else [f"python{version}" for version in python_versions(wheels)]
    fitting = filter(None, (shutil.which(name, path=builder.environment.get("PATH")) for name in names))
    for base in (*fitting, *system_pythons(builder.environment)):
        code, said = builder.try_run([base, "-I", "-m", "venv", str(builder.venv)])
        if code == 0:
            return
        text = failure_text(_("Making the environment"), code, said)
        if failure_kind(said) == "disk":
            break
        _remove_tree(builder.venv)
    raise BuildError(text)


def _no_python_text(builder: Builder) -> str:
    kind, wheels = failure_kind("", builder.failed), builder.options.wheels
    version = (python_versions(wheels) if wheels is not None else [])[:1] or ["3.12"]
    text = _(
        "No Python was found that could be used, and none could be loaded. Install Python {version} from python.org "
        "and press Repair, or choose an existing Python."
    ).format(version=version[0])
    return text if kind in VAGUE else f"{kind_message(kind)}\n{text}"


def _remove_tree(path: Path) -> None:
    """Removes a folder; raises StorageError where a program uses it."""
    if path.exists():
        with atomic.storage_errors(path):
            shutil.rmtree(path)
