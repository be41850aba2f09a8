"""A package built by Slicer's macros holds every file: what the CMake files find against the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import package
import pytest

ROOT = package.ROOT
PARTS = sorted(package.PARTS)
IGNORED_FOLDERS = {"__pycache__"}
IGNORED_NAMES = {"CMakeLists.txt", ".DS_Store"}

# What of CMake needs a build, and Slicer's own macros, as functions that write down what they are given.
RECORDER = """
cmake_minimum_required(VERSION 3.16)
macro(file)  # a script has no build that could be configured again
  set(file_arguments ${ARGN})
  list(REMOVE_ITEM file_arguments CONFIGURE_DEPENDS)
  _file(${file_arguments})
endmacro()
function(record)
  string(REPLACE ";" "|" words "${ARGN}")
  _file(APPEND "${RECORD}" "${words}\\n")
endfunction()
macro(project)
  record(project ${ARGN})
endmacro()
macro(find_package)
  record(find_package ${ARGN})
endmacro()
macro(add_subdirectory folder)
  set(CMAKE_CURRENT_SOURCE_DIR "${ROOT}/${folder}")
  include("${ROOT}/${folder}/CMakeLists.txt")
  set(CMAKE_CURRENT_SOURCE_DIR "${ROOT}")
endmacro()
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(GIVEN "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(GIVEN_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown arguments ${GIVEN_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${GIVEN_SCRIPTS} ${GIVEN_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "nonexistent file ${file}")
    endif()
  endforeach()
  record(module ${GIVEN_NAME} "${GIVEN_WITH_SUBDIR}" "${GIVEN_WITH_GENERIC_TESTS}")
  record(scripts ${GIVEN_NAME} ${GIVEN_SCRIPTS})
  record(resources ${GIVEN_NAME} ${GIVEN_RESOURCES})
endfunction()
function(slicer_add_python_unittest)
  record(unittest ${ARGN})
endfunction()
function(slicer_add_python_test)
  record(test ${ARGN})
endfunction()
function(set_tests_properties name)
  record(properties ${name} ${ARGN})
endfunction()
set(Slicer_USE_FILE "${STUBS}/use.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${STUBS}/config.cmake")
set(Slicer_EXTENSION_CPACK "${STUBS}/cpack.cmake")
set(CMAKE_CURRENT_SOURCE_DIR "${ROOT}")
set(BUILD_TESTING ON)
include("${ROOT}/CMakeLists.txt")
"""


def files_of(part: str) -> set[str]:
    folder = ROOT / part
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not IGNORED_FOLDERS & set(path.relative_to(folder).parts)
        and path.name not in IGNORED_NAMES
        and not path.name.startswith(".tmp-")
    }


@pytest.mark.parametrize("part", PARTS)
def test_every_file_is_packed(part: str) -> None:
    """A file of a kind that no glob names would be missing in Slicer alone."""
    assert sorted(files_of(part)) == package.packed_files(part)


def test_only_the_module_itself_lies_beside_the_module_file() -> None:
    """Slicer loads every Python file there as a module."""
    assert [path.name for path in (ROOT / "MedSegTrainer").glob("*.py")] == ["MedSegTrainer.py"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder that Slicer puts on the path, without a checkout near it."""
    folder = tmp_path / "qt-scripted-modules"
    package.package(folder)
    return folder


class TestInstalledTree:
    def test_holds_the_library_with_its_packages_and_templates(self, installed: Path) -> None:
        for name in ("MedSegTrainer.py", "MedSegTrainerUI/panel.py", "Resources/UI/MedSegTrainer.ui"):
            assert (installed / name).is_file()
        for name in ("job.py", "data/layouts/case_list.py", "networks/__init__.py", "report/templates/report.html.j2"):
            assert (installed / "MedSegTrainerLib" / name).is_file()

    def test_the_library_is_found_and_complete(self, installed: Path) -> None:
        code = (
            "import sys, pkgutil; sys.path.insert(0, sys.argv[1]); import MedSegTrainerLib;"
            "print(MedSegTrainerLib.__file__); print(len(list(pkgutil.walk_packages(MedSegTrainerLib.__path__))))"
        )
        done = subprocess.run([sys.executable, "-ISc", code, installed], capture_output=True, text=True, check=True)
        where, count = done.stdout.split()
        assert Path(where) == installed / "MedSegTrainerLib" / "__init__.py"
        scripts = [name for name in package.packed_files("MedSegTrainerLib") if name.endswith(".py")]
        top = [name for name in scripts if "/" not in name]
        packages = {name.split("/")[0] for name in scripts if "/" in name}
        assert int(count) == len(top) - 1 + len(packages)  # without site packages it cannot walk into them

    @pytest.mark.parametrize("checkout", [False, True])
    def test_the_module_finds_its_library(self, installed: Path, checkout: bool) -> None:
        """Beside it where installed, and in the root of a checkout, where only the module's folder is on the path."""
        folder = ROOT / "MedSegTrainer" if checkout else installed
        code = (
            "import sys; sys.path.append(sys.argv[1]); import MedSegTrainerUI.library_path, MedSegTrainerLib.job;"
            "print(MedSegTrainerLib.job.__file__)"
        )
        done = subprocess.run([sys.executable, "-ISc", code, folder], capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()) == (ROOT if checkout else installed) / "MedSegTrainerLib" / "job.py"


@pytest.fixture
def recorded(tmp_path: Path) -> list[list[str]]:
    """What the CMake files call, run by CMake itself with stubs in the place of Slicer."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    for stub in ("use", "config", "cpack"):
        (tmp_path / f"{stub}.cmake").write_text(f"record({stub})\n", encoding="utf-8")
    script, record = tmp_path / "recorder.cmake", tmp_path / "record.txt"
    script.write_text(RECORDER, encoding="utf-8")
    values = [f"-D{key}={value.as_posix()}" for key, value in (("ROOT", ROOT), ("STUBS", tmp_path), ("RECORD", record))]
    done = subprocess.run([cmake, *values, "-P", script], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [line.split("|") for line in record.read_text(encoding="utf-8").splitlines()]


class TestCMake:
    def test_the_calls_are_those_that_slicer_expects_in_their_order(self, recorded: list[list[str]]) -> None:
        assert [line[0] for line in recorded if line[0] not in ("scripts", "resources")] == [
            "project", "find_package", "use", "module", "module", "unittest", "test", "properties", "config", "cpack",
        ]  # fmt: skip
        assert ["find_package", "Slicer", "REQUIRED"] in recorded

    def test_the_library_gets_a_folder_and_no_generic_test_and_the_module_the_reverse(
        self, recorded: list[list[str]]
    ) -> None:
        assert [line[1:] for line in recorded if line[0] == "module"] == [
            ["MedSegTrainerLib", "TRUE", "FALSE"],
            ["MedSegTrainer", "FALSE", "TRUE"],
        ]

    @pytest.mark.parametrize("part", PARTS)
    def test_what_is_packed_is_what_the_globs_find(self, recorded: list[list[str]], part: str) -> None:
        """What is under scripts gets ``.py`` appended by Slicer where it lacks it, and is compiled."""
        [scripts] = [line[2:] for line in recorded if line[:2] == ["scripts", part]]
        [resources] = [line[2:] for line in recorded if line[:2] == ["resources", part]]
        assert sorted(scripts + resources) == package.packed_files(part)
        assert all(name.endswith(".py") for name in scripts)
        assert not [name for name in resources if name.endswith(".py")]

    def test_the_tests_name_files_that_exist(self, recorded: list[list[str]]) -> None:
        assert ["unittest", "SCRIPT", "MedSegTrainer.py"] in recorded
        [test] = [line for line in recorded if line[0] == "test"]
        given = dict(zip(test[1::2], test[2::2], strict=True))
        assert (ROOT / "Testing" / given["SCRIPT"]).is_file()
        [properties] = [line for line in recorded if line[0] == "properties"]
        assert properties[1] == f"py_{given['TESTNAME_PREFIX']}{Path(given['SCRIPT']).stem}"
