from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake_environment as fake
import pytest
from MedSegTrainerUI.environment.environment import Environment, report_text, startup_environment
from MedSegTrainerUI.environment.test_record import identity, requirements_hash

from MedSegTrainerLib.config import EvaluateConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_status import Status

LONG = 120_000  # milliseconds; a build of a tiny environment takes seconds on an idle computer


@pytest.fixture
def environment(scene: Any, tmp_path: Path) -> Environment:
    """One whose builds take a tiny package and ask a fake library to test; no network is needed."""
    requirements = fake.make_requirements(tmp_path / "a wheel")
    library = fake.make_library(tmp_path / "lib")
    options = ("--no-uv", "--needed", "1000", "--library", str(library))
    return Environment(tmp_path / "MedSeg Träiner", requirements, options)


def leave_tested(environment: Environment, **changes: Any) -> None:
    """Leaves behind what a build and a passed test leave, without doing them."""
    python = environment.own_python
    python.parent.mkdir(parents=True)
    python.write_text("a Python")  # these tests never start it
    (environment.folder / "venv" / "pyvenv.cfg").write_text("home = elsewhere\n")
    requirements = requirements_hash(environment.requirements)
    (environment.folder / "built.json").write_text(json.dumps({"requirements": requirements}))
    record = {**identity(python), "requirements": requirements, "report": {**fake.REPORT, **changes}}
    (environment.folder / "tested.json").write_text(json.dumps(record))
    environment.poll()


def set_status(environment: Environment, **values: Any) -> None:
    environment.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(Status(kind="environment", host=socket.gethostname(), **values)))
    environment.job.status_file.write_text(text)
    environment.poll()


class TestState:
    def test_nothing_is_there(self, environment: Environment) -> None:
        assert (environment.state, environment.ready, environment.python) == ("new", False, None)
        assert "Press Set up" in environment.problem
        assert "downloads about" in environment.describe()
        assert "GB" in environment.describe()

    def test_tested(self, environment: Environment) -> None:
        leave_tested(environment)
        assert (environment.ready, environment.problem) == (True, "")
        assert environment.python == str(environment.own_python)
        assert environment.describe() == "PyTorch 2.13, CUDA 13, RTX 4070 (12 GB): tested, ok"

    def test_a_fall_to_the_cpu(self, environment: Environment) -> None:
        told = ["The driver is too old."]
        leave_tested(environment, device="cpu", device_name="CPU with 8 threads", warnings=told)
        assert environment.describe() == "PyTorch 2.13, CPU with 8 threads: tested, ok"
        assert environment.warnings == told
        assert environment.device == "cpu"  # what a job must say, or it would try the GPU that does not work

    def test_the_device_of_a_job_is_the_users(self, environment: Environment) -> None:
        leave_tested(environment)
        assert environment.device == "auto"
        environment.set_device("cpu")
        assert environment.device == "cpu"
        assert not environment.ready
        assert "The device cpu has not been tested" in environment.problem

    def test_the_interpreter_was_removed(self, environment: Environment) -> None:
        leave_tested(environment)
        environment.own_python.unlink()
        environment.poll()
        assert environment.problem == "The environment is damaged: its Python is gone. Press Repair."

    def test_packages_were_changed(self, environment: Environment) -> None:
        leave_tested(environment)
        os.utime(environment.folder / "venv" / "pyvenv.cfg", (1, 1))
        environment.poll()
        assert (environment.state, environment.python) == ("changed", None)
        assert "were changed since they were tested" in environment.problem

    def test_other_packages_are_needed_now(self, environment: Environment) -> None:
        leave_tested(environment)
        environment.requirements.write_text("other==2\n")
        environment.poll()
        assert "needs other packages" in environment.problem

    def test_the_library_is_newer(self, environment: Environment) -> None:
        leave_tested(environment)
        file = environment.folder / "tested.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "library": "0.0.1"}))
        environment.poll()
        assert "was updated to" in environment.problem

    def test_a_record_that_cannot_be_read(self, environment: Environment) -> None:
        leave_tested(environment)
        (environment.folder / "tested.json").write_text('{"report": [')
        environment.poll()
        assert "has not been tested" in environment.problem

    def test_a_build_that_failed(self, environment: Environment) -> None:
        set_status(environment, state="failed", message="The disk is full.")
        assert (environment.state, environment.problem) == ("failed", "The disk is full.")

    def test_a_build_that_was_killed(self, environment: Environment) -> None:
        set_status(environment, state="running", pid=2**22 + 7, heartbeat=time.time())
        assert environment.state == "failed"
        assert environment.problem.startswith("Setting up ")

    def test_a_build_that_runs(self, environment: Environment) -> None:
        set_status(environment, state="running", pid=os.getppid(), heartbeat=time.time())
        assert environment.busy
        for refused in (environment.set_up, environment.test, environment.remove, lambda: environment.choose("x")):
            with pytest.raises(JobError):
                refused()


class TestBuild:
    def test_set_up_test_start_and_remove(self, environment: Environment, tmp_path: Path, wait_for: Any) -> None:
        environment.set_up()
        assert environment.busy
        assert environment.python is None
        wait_for(lambda: environment.poll() and not environment.busy, LONG)
        assert environment.ready, environment.problem + environment.job.log_file.read_text(encoding="utf-8")

        again = Environment(environment.folder.parent, environment.requirements)
        assert again.ready  # the next start of Slicer knows

        job = JobFolder(tmp_path / "job")
        job.create(EvaluateConfig(predictions="a", labels="b", output_dir="c"))
        environment.start(job)
        wait_for(lambda: job.log_file.exists() and job.log_file.stat().st_size > 0, LONG)
        with (tmp_path / "output").open("wb") as output:
            command = environment.start_command(["support", str(job.path)], output)
        wait_for(lambda: command.poll() is not None, LONG)
        assert (tmp_path / "output").read_bytes(), "what it printed, or why it could not run"

        environment.remove()
        assert environment.state == "new"
        assert not environment.folder.exists()
        wait_for(lambda: not list(environment.folder.parent.glob("environment*")), LONG)

    def test_a_folder_of_wheels(self, environment: Environment, wait_for: Any, tmp_path: Path) -> None:
        environment.choose_wheels(str(tmp_path / "gone"))
        environment.set_up()
        wait_for(lambda: environment.poll() or not environment.busy, LONG)
        assert environment.problem == (
            f"The folder of wheels {tmp_path / 'gone'} is not there. Choose another, or empty the field."
        )

    def test_stop(self, environment: Environment, wait_for: Any) -> None:
        environment.set_up()
        wait_for(lambda: (environment.poll(), environment.status.stage == "python")[1], LONG)
        environment.stop()
        wait_for(lambda: environment.poll() or not environment.busy, LONG)
        assert (environment.state, environment.ready) == ("stopped", False)
        assert "Stopped" in environment.problem

    def test_a_python_of_the_user(self, environment: Environment, wait_for: Any, tmp_path: Path) -> None:
        environment.choose(sys.executable)
        assert (environment.state, environment.ready) == ("changed", False)
        environment.test()  # with the library itself: it may find torch there, or say that it is missing
        wait_for(lambda: environment.poll() or not environment.busy, LONG)
        assert environment.ready or environment.problem
        environment.choose(str(tmp_path / "gone"))
        assert "is not there" in environment.problem
        environment.choose("")
        assert environment.state == "new"


def test_an_untested_environment_starts_nothing(environment: Environment, tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "job")
    job.create(EvaluateConfig(predictions="a", labels="b", output_dir="c"))
    with pytest.raises(JobError, match="Press Set up"):
        environment.start(job)
    assert not job.log_file.exists()
    with (tmp_path / "output").open("wb") as output, pytest.raises(JobError, match="Press Set up"):
        environment.start_command(["support", str(job.path)], output)


def test_the_variables_of_slicers_python_are_left_out() -> None:
    os.environ["PYTHONHOME"] = "of Slicer"
    try:
        assert "PYTHONHOME" not in startup_environment()
    finally:
        del os.environ["PYTHONHOME"]


def test_a_report_of_another_version_is_told() -> None:
    assert report_text({}) == "PyTorch"
    assert report_text({"torch": "2.9.1+cpu", "device": "mps", "device_name": "Apple GPU"}) == "PyTorch 2.9, Apple GPU"
