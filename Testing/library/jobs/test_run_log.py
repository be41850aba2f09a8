"""What running a job leaves in its log."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.errors import DataError, MedSegError, StorageError
from MedSegTrainerLib.job import JobFolder, Outcome
from MedSegTrainerLib.job_logging import job_log
from MedSegTrainerLib.job_status import Status
from MedSegTrainerLib.jobs.run import _run, run_job


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    job = JobFolder(tmp_path / "job")
    job.create(EvaluateConfig(predictions=str(tmp_path / "a"), labels=str(tmp_path / "b"), output_dir=str(tmp_path)))
    return job


def run(folder: JobFolder, work: Any) -> str:
    with job_log(folder.log_file):
        _run(folder, folder.read_document(), time.time(), work=work)
    return folder.log_file.read_text(encoding="utf-8")


def test_versions_and_the_end(folder: JobFolder) -> None:
    log = run(folder, lambda *_: Outcome(message="Done.", result="r"))
    assert f"MedSegTrainer {__version__}, Python 3." in log and ", torch " in log
    assert log.splitlines()[-1].endswith("INFO MedSegTrainerLib.events: finished: Done. result=r")


def test_an_error_that_should_not_happen_leaves_its_traceback(folder: JobFolder) -> None:
    def work(*_: Any) -> Outcome:
        raise KeyError("who")

    with pytest.raises(MedSegError, match="An error that should not happen: KeyError: 'who'"):
        run(folder, work)
    log = folder.log_file.read_text(encoding="utf-8")
    assert " ERROR MedSegTrainerLib.jobs.run: " in log and "    Traceback (most recent call last):\n" in log
    assert "    KeyError: 'who'\n" in log and f"{Path(__file__).name}" in log
    assert " ERROR MedSegTrainerLib.events: failed: An error that should not happen" in log


def test_a_mistake_of_the_user_leaves_its_message_alone(folder: JobFolder) -> None:
    """Run in this process, as from Python: nothing printed goes to the log."""
    with pytest.raises(DataError):
        run_job(folder.path)
    log = folder.log_file.read_text(encoding="utf-8")
    assert " ERROR MedSegTrainerLib.events: failed: " in log and "error=DataError" in log and "Traceback" not in log


def test_verbose_shows_the_log_and_where_the_error_arose(folder: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder.path), "--verbose"])
    assert ended.value.code == 1
    output = capsys.readouterr().err
    assert " INFO MedSegTrainerLib.events: started: " in output and "MedSegTrainerLib.errors.DataError: " in output
    assert " DEBUG MedSegTrainerLib.jobs.run: The job ended here:" in folder.log_file.read_text(encoding="utf-8")


def test_taking_over_the_lock_of_a_dead_process_is_logged(folder: JobFolder) -> None:
    folder.lock_file.write_text("elsewhere 7 1", encoding="utf-8")
    long_ago = time.time() - 9_000
    os.utime(folder.lock_file, (long_ago, long_ago))
    atomic.write_json(folder.status_file, asdict(Status(state="failed", host="elsewhere", pid=7, heartbeat=long_ago)))
    log = run(folder, lambda *_: Outcome(message="Done.", result="r"))
    assert "WARNING MedSegTrainerLib.job_lock: Took over the lock of process 7 on elsewhere, which is gone" in log


def test_a_log_that_is_a_link_is_refused(folder: JobFolder, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine", encoding="utf-8")
    folder.log_file.symlink_to(tmp_path / "precious.txt")
    for begin in (lambda: run_job(folder.path), folder.start):
        with pytest.raises(StorageError, match=r"log\.txt is a link or no file"):
            begin()
    assert (tmp_path / "precious.txt").read_text(encoding="utf-8") == "mine"
