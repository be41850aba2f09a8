"""A process that steps back; that a job does so when it is asked to is seen through its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.processes import NICENESS, below_normal, step_back

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has flags for it at the start")

SAYS_ITS_PRIORITY = "import os, sys; sys.stdin.read(); print(os.getpriority(os.PRIO_PROCESS, 0))"


def test_others_go_first() -> None:
    with subprocess.Popen([sys.executable, "-c", SAYS_ITS_PRIORITY], stdin=-1, stdout=-1, text=True) as process:
        step_back(process.pid)
        output, _ = process.communicate("")
    assert int(output) == max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    step_back(process.pid)


def test_a_job_that_stays_behind_is_started_all_the_same(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.job_file.write_text("{}", encoding="utf-8")
    with folder.start(behind=True) as started:
        assert started.wait() == 2
    assert folder.status().state == "failed"


def test_flags_are_for_windows() -> None:
    assert below_normal() == 0
