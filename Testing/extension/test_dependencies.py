"""What the library gets along with, in pyproject.toml, and the exact versions of constraints.txt: they fit together."""

from __future__ import annotations

import re
import sys
from typing import Any

import environment
import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_VERSIONS = {"slicer"}  # an extra for the tests alone, whose packages go together in one version
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def project() -> dict[str, Any]:
    return tomllib.loads((environment.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared() -> list[Requirement]:
    """What the library, its extras and its build ask for."""
    document = project()
    extras = document["project"]["optional-dependencies"]
    lists = [document["project"]["dependencies"], document["build-system"]["requires"]]
    lists += [packages for extra, packages in extras.items() if extra not in OWN_VERSIONS]
    return [Requirement(line) for packages in lists for line in packages]


def pinned(python: str) -> dict[str, str]:
    """Version of each package of constraints.txt under a version of Python."""
    lines = (environment.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line.split("#")[0].strip()]
    surroundings = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    versions: dict[str, str] = {}
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate(surroundings):
            continue
        (specifier,) = requirement.specifier
        name = canonicalize_name(requirement.name)
        assert specifier.operator == "==" and name not in versions, requirement
        versions[name] = specifier.version
    return versions


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_the_library_asks_for_a_range_that_is_open_above(requirement: Requirement) -> None:
    """A pin, or a bound above that nothing known needs, keeps it from being installed beside another tool."""
    assert [specifier.operator for specifier in requirement.specifier] == [">="]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_exact_versions_lie_in_these_ranges(python: str) -> None:
    versions = pinned(python)
    for requirement in declared():
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_extra_for_slicer_has_the_exact_versions() -> None:
    versions = pinned("3.12")
    for line in project()["project"]["optional-dependencies"]["slicer"]:
        requirement = Requirement(line)
        assert requirement.specifier == f"=={versions[canonicalize_name(requirement.name)]}"


def test_the_oldest_python_is_that_of_the_scripts_and_the_checks() -> None:
    oldest = ".".join(str(part) for part in environment.OLDEST_PYTHON)
    document = project()
    assert document["project"]["requires-python"] == f">={oldest}" and PYTHONS[0] == oldest
    assert document["tool"]["mypy"]["python_version"] == oldest
    assert document["tool"]["ruff"]["target-version"] == re.sub(r"(\d+)\.(\d+)", r"py\1\2", oldest)
