"""The script that Slicer starts for the module's tests, where there is no Slicer: what it does before it needs one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import package
import pytest

SCRIPT = package.ROOT / "Testing" / "run_in_slicer.py"
RUN = "import runpy, sys; sys.exit(runpy.run_path(sys.argv[1], run_name='run_in_slicer')['main'](['-q']))"


def run(tmp_path: Path, pytest_folder: Path | None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "MEDSEG_PYTEST"}
    if pytest_folder is not None:
        environment["MEDSEG_PYTEST"] = str(pytest_folder)
    command = [sys.executable, "-ISc", RUN, str(SCRIPT)]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_without_pytest_it_counts_as_skipped_and_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, None)
    assert done.returncode == 77, done.stderr
    assert "MEDSEG_PYTEST" in done.stdout


def test_pytest_is_found_in_the_named_folder_and_gets_the_module_tests_alone(tmp_path: Path) -> None:
    """Fakes in the place of pytest, Qt and a Slicer that has loaded the module."""
    (tmp_path / "pytest.py").write_text("def main(arguments):\n    print(*arguments, sep='|')\n    return 3\n")
    (tmp_path / "qt.py").write_text("")
    (tmp_path / "slicer.py").write_text("class modules:\n    medsegtrainer = None\n")
    done = run(tmp_path, tmp_path)
    assert done.returncode == 3, done.stderr
    arguments = done.stdout.strip().split("|")
    assert arguments[-2:] == [str(SCRIPT.parent / "module"), "-q"]
    assert arguments[arguments.index("--confcutdir") + 1] == str(SCRIPT.parent / "module")
    assert Path(arguments[arguments.index("-c") + 1]).is_file()


def test_over_the_stand_in_the_fixtures_of_the_application_do(tmp_path: Path) -> None:
    """One panel a test, made new; settings and parameters of the tests before are gone; no test of the stand-in."""
    for package_name in ("slicer", "PySide6"):
        pytest.importorskip(package_name, reason="the stand-in needs the packages of the extra 'slicer'")
    script = package.ROOT / "Testing" / "slicer_standin" / "played_slicer.py"
    chosen = "test_conformance_scene or test_parameters or (test_panel and (closing or cleanup or folder or changed))"
    command = [sys.executable, str(script), "-q", "-rA", "-k", chosen]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "test_closing_the_scene" in done.stdout and "test_standin" not in done.stdout
