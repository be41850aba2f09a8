from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from MedSegTrainerUI.jobs.process import TreeEnd, end_process_tree, start_detached, without_python_variables

from MedSegTrainerLib.processes import process_exists

# a launcher as PythonSlicer is: it only waits for the child that works, and hands no signal on
LAUNCHER = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', sys.argv[1]])
pathlib.Path(sys.argv[2]).write_text(str(child.pid))
child.wait()
"""
SLEEP = "import time; print('begun', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('begun', flush=True); time.sleep(60)"


@pytest.fixture
def launch(tmp_path: Path, wait_for: Callable[..., None]) -> Callable[[str], tuple[subprocess.Popen[bytes], int]]:
    def start(code: str) -> tuple[subprocess.Popen[bytes], int]:
        log, pid_file = tmp_path / "a log.txt", tmp_path / "pid"
        command = [sys.executable, "-c", LAUNCHER, code, str(pid_file)]
        launcher = start_detached(command, cwd=tmp_path, environment=os.environ, log=log)
        wait_for(lambda: "begun" in log.read_text(), 30_000)
        return launcher, int(pid_file.read_text())

    return start


def is_gone(process: subprocess.Popen[bytes], child: int) -> bool:
    return process.poll() is not None and not process_exists(child)


class TestEnd:
    def test_the_child_of_the_launcher_dies_with_it(self, launch: Any, wait_for: Any) -> None:
        launcher, child = launch(SLEEP)
        end_process_tree(launcher.pid)
        wait_for(lambda: is_gone(launcher, child), 10_000)

    def test_by_the_number_of_the_child_which_the_status_tells(self, launch: Any, wait_for: Any) -> None:
        launcher, child = launch(SLEEP)
        end_process_tree(child)
        wait_for(lambda: is_gone(launcher, child), 10_000)

    @pytest.mark.skipif(os.name == "nt", reason="on Windows nothing can be asked to end")
    def test_one_that_does_not_listen_is_forced(self, launch: Any, wait_for: Any) -> None:
        launcher, child = launch(DEAF)
        end = TreeEnd(launcher.pid, grace=0.5)
        assert not end.poll()
        assert process_exists(child)
        wait_for(end.poll, 10_000)
        assert is_gone(launcher, child)

    def test_one_that_is_gone(self, tmp_path: Path) -> None:
        child = start_detached([sys.executable, "-c", ""], cwd=tmp_path, environment=os.environ, log=tmp_path / "log")
        child.wait()
        end_process_tree(child.pid)
        assert TreeEnd(child.pid).poll()


def test_what_it_prints_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    code = "import os, sys; print(os.getcwd()); print(os.environ['WORD'], file=sys.stderr)"
    child = start_detached(
        [sys.executable, "-c", code], cwd=tmp_path, environment={**os.environ, "WORD": "given"}, log=log
    )
    assert child.wait() == 0
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert set(lines[1:]) == {str(tmp_path.resolve()), "given"}


def test_a_program_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nothing|WinError"):
        start_detached([str(tmp_path / "nothing")], cwd=tmp_path, environment=os.environ, log=tmp_path / "log")


def test_variables_of_another_python_are_left_out() -> None:
    cleaned = without_python_variables({"PYTHONHOME": "x", "PythonPath": "y", "PATH": "z"})
    assert cleaned == {"PATH": "z", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def test_ending_does_not_wait(launch: Any, wait_for: Any) -> None:
    """A call that waited for the deaf process would find it gone."""
    if os.name == "nt":
        pytest.skip("on Windows nothing can be asked to end")
    launcher, child = launch(DEAF)
    end_process_tree(launcher.pid)
    assert process_exists(child)
    end_process_tree(launcher.pid, force=True)
    wait_for(lambda: is_gone(launcher, child), 10_000)
