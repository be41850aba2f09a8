"""A folder of wheels, from which an environment is made without a network: what it holds, and what it lacks.

Only the standard library is imported.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from MedSegTrainerUI.environment.build_texts import translated as _

PLATFORMS = {"win32": ("win",), "darwin": ("macosx",)}  # how the tags of wheels begin; all others are Linux
LINUX = ("linux", "manylinux", "musllinux")
MOST_NAMES = 12  # of missing packages in a message; the log has all


class Wheel(NamedTuple):
    """What the name of a wheel says; the tags may hold several, with dots between them."""

    package: str
    version: str
    python: str
    abi: str
    platform: str


def wheels_in(folder: Path) -> Iterator[Wheel]:
    for path in folder.glob("*.whl"):
        parts = path.name[:-4].split("-")
        if len(parts) in (5, 6):  # the sixth is the number of a build
            yield Wheel(normal_name(parts[0]), parts[1].split("+")[0], *parts[-3:])


def normal_name(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def python_versions(folder: Path) -> list[str]:
    """``3.12``: the Pythons that the wheels were collected for, the one of most wheels first."""
    tags = (re.fullmatch(r"cp3(\d+)", wheel.python) for wheel in wheels_in(folder) if wheel.abi != "abi3")
    counts = Counter(f"3.{match[1]}" for match in tags if match)
    return [version for version, _count in counts.most_common()]


def missing_wheels(folder: Path, requirements: str, python: tuple[int, int], platform: str = sys.platform) -> list[str]:
    """``name==version`` of the lines of a requirements file that no wheel of the folder fulfils."""
    there = {(wheel.package, wheel.version) for wheel in wheels_in(folder) if _fits(wheel, python, platform)}
    pairs = (line.split("==") for line in _needed(requirements, python) if "==" in line)
    return [f"{name}=={version}" for name, version in pairs if (normal_name(name), version) not in there]


def missing_wheels_text(folder: Path, missing: list[str], python: tuple[int, int]) -> str:
    names = ", ".join(missing[:MOST_NAMES])
    if len(missing) > MOST_NAMES:
        names = _("{names} and {count} more, which the log names").format(names=names, count=len(missing) - MOST_NAMES)
    return _(
        "The folder of wheels {folder} lacks what Python {version} on this system needs: {names}. Fill it on a "
        "computer with the same system and Python {version} (the manual says how: 'A "
        "computer without Internet'), then press Repair."
    ).format(folder=folder, version=".".join(map(str, python)), names=names)


def venv_version(venv: Path) -> tuple[int, int]:
    """(major, minor) of the Python in an environment, as venv and uv note it."""
    text = (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    match = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", text, re.MULTILINE)
    return (int(match[1]), int(match[2])) if match else (3, 12)


def _needed(requirements: str, python: tuple[int, int]) -> Iterator[str]:
    """The lines without their markers, which ask for nothing but the version of Python."""
    for line in requirements.splitlines():
        package, _semicolon, marker = line.split("#")[0].partition(";")
        match = re.search(r"python_version\s*(<|>=)\s*[\"'](\d+)\.(\d+)", marker)
        older = match is not None and python < (int(match[2]), int(match[3]))
        if package.strip() and (match is None or older == (match[1] == "<")):
            yield package.strip()


def _fits(wheel: Wheel, python: tuple[int, int], platform: str) -> bool:
    """Whether a wheel is for a Python and an operating system; what processor it is for, the tools judge."""
    systems = ("any", *PLATFORMS.get(platform, LINUX))
    if not any(tag.startswith(systems) for tag in wheel.platform.split(".")):
        return False
    for tag in wheel.python.split("."):
        match = re.fullmatch(r"cp(\d)(\d+)", tag)
        version = (int(match[1]), int(match[2])) if match else None
        if tag in ("py3", f"py3{python[1]}") or version == python:
            return True
        if version is not None and wheel.abi == "abi3" and version <= python:
            return True
    return False
