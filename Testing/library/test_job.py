"""The job folder: who may work on it, what its status says, and what is never overwritten."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.job_settings import ApplyConfig, job_document
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder, JobOwner, checksum
from MedSegTrainerLib.job_lock import JobLock
from MedSegTrainerLib.job_status import DEAD_AFTER_SECONDS, HEARTBEAT_SECONDS, Status
from MedSegTrainerLib.processes import process_exists

HERE = socket.gethostname()
OWNER = """
import sys
from pathlib import Path
from MedSegTrainerLib.job import JobFolder, JobOwner
with JobOwner(JobFolder(Path(sys.argv[1])), "train") as owner:
    owner.update(state="running", epoch=3, best=0.7)
    print("owned", flush=True)
    sys.stdin.read()
"""
CREATOR = """
import sys
from pathlib import Path
from MedSegTrainerLib.config.settings import DataConfig, TrainConfig
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerLib.errors import JobError
folder = JobFolder(Path(sys.argv[1]))
print("owned", flush=True)
sys.stdin.readline()
try:
    expect = folder.create(TrainConfig(data=DataConfig(data_dir=sys.argv[2])))
    folder.start(expect=expect).wait()
    print("started")
except JobError as error:
    print(error)
"""
WRITER = """
import itertools
import sys
from pathlib import Path
from MedSegTrainerLib.job import JobFolder, JobOwner
with JobOwner(JobFolder(Path(sys.argv[1])), "train") as owner:
    print("owned", flush=True)
    for epoch in itertools.count(1):
        owner.update(epoch=epoch, message="m" * (epoch % 7) * 500)
"""


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    job = JobFolder(tmp_path / "job")
    job.create(TrainConfig())
    return job


@contextmanager
def process(code: str, folder: JobFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process that says 'owned' when it works on the folder."""
    command = [sys.executable, "-c", code, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "owned\n"
            yield other
        finally:
            other.kill()


def dead_pid() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    return ended.pid


def leave_behind(folder: JobFolder, *, host: str, pid: int, age: float, state: str = "running") -> None:
    """What an owner that was not closed leaves: its lock and its last status, both ``age`` seconds old."""
    then = time.time() - age
    status = Status(state=state, kind="train", host=host, pid=pid, heartbeat=then, epoch=5, epochs=9, best=0.8)
    atomic.write_json(folder.status_file, asdict(status))
    folder.lock_file.write_text(f"{host} {pid} 1", encoding="utf-8")
    os.utime(folder.lock_file, (then, then))


def try_to_own(folder: JobFolder) -> JobOwner:
    with JobOwner(folder, "train") as owner:
        return owner


class TestOwner:
    def test_writes_its_status_and_frees_the_folder(self, folder: JobFolder) -> None:
        with JobOwner(folder, "train") as owner:
            status = folder.status()
            assert (status.state, status.kind, status.host, status.pid) == ("starting", "train", HERE, os.getpid())
            assert status.is_alive()
            owner.update(state="finished", message="done")
        assert (folder.status().state, folder.status().message) == ("finished", "done")
        assert not folder.status().is_alive()
        assert not folder.lock_file.exists()

    def test_a_second_process_is_refused_while_the_first_lives(self, folder: JobFolder) -> None:
        with process(OWNER, folder) as other:
            with pytest.raises(JobError, match=f"is being worked on by process {other.pid} on") as caught:
                try_to_own(folder)
            assert "medsegtrainer stop" in str(caught.value)
            assert folder.status().epoch == 3  # the status of the owner was not touched

    def test_the_folder_of_a_killed_process_is_taken_over(self, folder: JobFolder) -> None:
        with process(OWNER, folder) as other:
            pass
        assert other.returncode != 0
        assert folder.lock_file.exists()
        with JobOwner(folder, "train"):
            status = folder.status()
            assert status.pid == os.getpid()
            assert (status.epoch, status.best) == (3, 0.7)  # a resumed job does not start at 0

    def test_a_dead_process_of_this_machine(self, folder: JobFolder) -> None:
        leave_behind(folder, host=HERE, pid=dead_pid(), age=1)
        try_to_own(folder)

    def test_another_machine_with_an_old_heartbeat_is_taken_over(self, folder: JobFolder) -> None:
        leave_behind(folder, host="elsewhere", pid=1, age=DEAD_AFTER_SECONDS + 5)
        try_to_own(folder)

    def test_another_machine_with_a_fresh_heartbeat_is_not(self, folder: JobFolder) -> None:
        leave_behind(folder, host="elsewhere", pid=1, age=DEAD_AFTER_SECONDS / 2)
        with pytest.raises(JobError, match="process 1 on elsewhere"):
            try_to_own(folder)
        assert folder.lock_file.read_text(encoding="utf-8") == "elsewhere 1 1"

    def test_a_lock_whose_owner_has_no_status_yet_is_respected(self, folder: JobFolder) -> None:
        folder.lock_file.write_text("elsewhere 77 1", encoding="utf-8")
        with pytest.raises(JobError, match="is being worked on"):
            try_to_own(folder)

    def test_a_lock_nobody_can_read_is_taken_over(self, folder: JobFolder) -> None:
        folder.lock_file.write_bytes(b"")
        try_to_own(folder)

    def test_notices_that_it_was_taken_over(self, folder: JobFolder) -> None:
        with JobOwner(folder, "train") as owner:
            atomic.write_bytes(folder.lock_file, b"elsewhere 5 1")
            deadline = time.monotonic() + 3 * HEARTBEAT_SECONDS
            while not owner.lost and time.monotonic() < deadline:
                time.sleep(0.05)
            assert owner.lost
            atomic.write_json(folder.status_file, asdict(Status(state="running", host="elsewhere")))
            owner.update(epoch=4)
            assert folder.status().host == "elsewhere"
        assert folder.lock_file.read_bytes() == b"elsewhere 5 1"

    def test_a_lock_of_another_machine_from_the_future_is_not_kept_for_ever(self, folder: JobFolder) -> None:
        leave_behind(folder, host="elsewhere", pid=1, age=-DEAD_AFTER_SECONDS - 5, state="finished")
        try_to_own(folder)

    def test_another_machine_whose_clock_is_wrong_still_works(self, folder: JobFolder) -> None:
        leave_behind(folder, host="elsewhere", pid=1, age=-7200)

        def beat(seconds: float) -> None:
            before = folder.status()
            atomic.write_json(folder.status_file, asdict(replace(before, heartbeat=before.heartbeat + seconds)))

        with pytest.raises(JobError, match="is being worked on by process 1 on elsewhere"):
            JobLock(folder, wait=beat).acquire()

    def test_another_machine_whose_clock_was_wrong_and_that_is_gone(self, folder: JobFolder) -> None:
        leave_behind(folder, host="elsewhere", pid=1, age=-7200)
        assert not folder.status().is_alive()
        waited: list[float] = []
        with JobLock(folder, wait=waited.append).held():
            assert waited[0] > HEARTBEAT_SECONDS

    def test_of_two_that_take_over_at_once_the_last_one_stays(self, folder: JobFolder) -> None:
        leave_behind(folder, host=HERE, pid=dead_pid(), age=1)
        claim = b"elsewhere 5 1"
        lock = JobLock(folder, wait=lambda seconds: atomic.write_bytes(folder.lock_file, claim))
        with pytest.raises(JobError, match="is being worked on by process 5 on elsewhere"), lock.held():
            pass
        assert folder.lock_file.read_bytes() == claim

    @pytest.mark.parametrize("lock", ["", "elsewhere", "elsewhere x 1", f"elsewhere {'9' * 400} 1", "a b c d", "\x1b"])
    def test_a_lock_that_names_nobody_is_taken_over(self, folder: JobFolder, lock: str) -> None:
        folder.lock_file.write_text(lock, encoding="utf-8")
        try_to_own(folder)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
    def test_pipes_are_not_waited_for(self, folder: JobFolder) -> None:
        folder.previews.mkdir()
        for path in (folder.lock_file, folder.status_file, folder.stop_file, folder.preview_case_file):
            os.mkfifo(path)
        assert (folder.status(), folder.stop_requested(), folder.preview_requested()) == (Status(), None, None)
        try_to_own(folder)

    def test_removes_what_a_dead_process_left_half_written_and_nothing_else(self, folder: JobFolder) -> None:
        outside = folder.path.parent / "outside"
        mine = [folder.path / ".tmp-0123abcd-status.json", folder.path / "model" / ".tmp-0123abcd-model.json"]
        others = [
            folder.path / ".tmp-notes", folder.path / "data" / ".tmp-0123abcd-x", outside / ".tmp-0123abcd-model.json",
            outside / "model" / ".tmp-0123abcd-model.json",
        ]  # fmt: skip
        for path in (*mine, *others):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (folder.path / "report").symlink_to(outside, target_is_directory=True)
        (folder.path / "previews").symlink_to(outside / "model", target_is_directory=True)
        try_to_own(folder)
        assert [path for path in mine if path.exists()] == []
        assert [path for path in others if not path.exists()] == []

    def test_forgets_an_old_request_to_stop(self, folder: JobFolder) -> None:
        folder.request_stop()
        with JobOwner(folder, "train"):
            assert folder.stop_requested() is None

    def test_a_preview_that_was_asked_for(self, folder: JobFolder) -> None:
        assert folder.preview_requested() is None
        folder.request_preview("Fr\u00e4ulein 3")
        assert folder.preview_requested() == "Fr\u00e4ulein 3"
        folder.request_preview("b")
        assert folder.preview_requested() == "b"

    @pytest.mark.parametrize(
        "content", ["", "b", "[]", '"b"', "{}", '{"case": 3}', '{"case": null}', '{"case": ["b"]}', "[" * 10**5,
                    '{"case": "\\ud800"}', '{"case": "' + "b" * 10**6 + '"}'],
    )  # fmt: skip
    def test_a_preview_that_was_asked_for_in_no_words(self, folder: JobFolder, content: str) -> None:
        folder.previews.mkdir()
        folder.preview_case_file.write_text(content)
        assert folder.preview_requested() is None
        folder.preview_case_file.unlink()
        folder.preview_case_file.mkdir()
        assert folder.preview_requested() is None

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(JobError, match="missing cannot be locked"):
            try_to_own(JobFolder(tmp_path / "missing"))


class TestStatus:
    def test_is_whole_at_every_moment(self, folder: JobFolder) -> None:
        epochs: list[int] = []
        with process(WRITER, folder) as other:
            while len(set(epochs)) < 30:
                assert other.poll() is None
                epochs.append(json.loads(folder.status_file.read_text(encoding="utf-8"))["epoch"])
        assert epochs == sorted(epochs)

    @pytest.mark.parametrize("content", ["", "{", "[1]", "null", '"text"'])
    def test_that_cannot_be_read_is_that_of_a_new_job(self, folder: JobFolder, content: str) -> None:
        folder.status_file.write_text(content, encoding="utf-8")
        assert folder.status() == Status()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"pid": "12"}, {"pid": 10**30}, {"pid": None}, {"pid": True}, {"heartbeat": "now"}, {"heartbeat": None},
            {"heartbeat": 10**39}, {"epoch": 1.5}, {"epochs": []}, {"progress": {}}, {"eta_seconds": "soon"},
            {"best": [1]}, {"message": 5}, {"host": None}, {"kind": {}},
        ],
    )  # fmt: skip
    def test_fields_of_other_types_are_as_if_not_there(self, folder: JobFolder, wrong: dict[str, Any]) -> None:
        atomic.write_json(folder.status_file, {"state": "running", **wrong})
        assert folder.status() == Status(state="running")
        assert not folder.status().is_alive()
        try_to_own(folder)

    @pytest.mark.parametrize(
        "content", ['{"best": NaN}', '{"progress": Infinity}', "[" * 100_000, '{"pid": 1' + "0" * 5000]
    )
    def test_hostile_content(self, folder: JobFolder, content: str) -> None:
        folder.status_file.write_text(content, encoding="utf-8")
        assert folder.status() == Status()

    def test_of_a_later_version_is_read(self, folder: JobFolder) -> None:
        atomic.write_json(folder.status_file, {"state": "running", "invented_later": 1})
        assert folder.status() == Status(state="running")

    @pytest.mark.parametrize("state", ["created", "finished", "stopped", "failed"])
    def test_nobody_works_in_a_state_of_rest(self, state: str) -> None:
        assert not Status(state=state, host=HERE, pid=os.getpid(), heartbeat=time.time()).is_alive()


class TestCreate:
    def test_writes_the_job(self, folder: JobFolder) -> None:
        assert folder.read_document() == job_document(TrainConfig())
        assert folder.status().state == "created"

    def test_makes_folders_above(self, tmp_path: Path) -> None:
        folder = JobFolder(tmp_path / "a" / "b")
        folder.create(ApplyConfig(model="m"))
        assert folder.read_document()["kind"] == "apply"

    def test_takes_an_empty_folder(self, tmp_path: Path) -> None:
        JobFolder(tmp_path).create(TrainConfig())

    @pytest.mark.parametrize("result", ["checkpoints/last.pt", "model/model.json"])
    def test_a_trained_job_is_refused(self, folder: JobFolder, result: str) -> None:
        path = folder.path / result
        path.parent.mkdir()
        path.touch()
        with pytest.raises(JobError, match="already holds a trained job"):
            folder.create(ApplyConfig(model="m"))
        assert folder.read_document()["kind"] == "train"

    def test_a_living_job_is_refused(self, folder: JobFolder) -> None:
        with process(OWNER, folder), pytest.raises(JobError, match="is being worked on"):
            folder.create(ApplyConfig(model="m"))
        assert folder.read_document()["kind"] == "train"

    def test_a_foreign_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("precious", encoding="utf-8")
        with pytest.raises(JobError, match="is not empty and is not a job folder"):
            JobFolder(tmp_path).create(TrainConfig())
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "job").touch()
        with pytest.raises(JobError, match="is a file"):
            JobFolder(tmp_path / "job").create(TrainConfig())

    def test_a_failed_job_is_replaced(self, folder: JobFolder) -> None:
        leave_behind(folder, host=HERE, pid=dead_pid(), age=1, state="failed")
        for path in (folder.events_file, folder.log_file, folder.stop_file, folder.plan_file):
            path.write_text("old", encoding="utf-8")
        folder.create(ApplyConfig(model="m"))
        assert folder.read_document()["kind"] == "apply"
        assert folder.status() == Status()
        assert {path.name for path in folder.path.iterdir()} == {"job.json"}
        try_to_own(folder)


class TestTwoStarters:
    """Whoever comes second is refused, and nobody runs what another one wrote."""

    def test_while_another_one_creates(self, tmp_path: Path) -> None:
        folder = JobFolder(tmp_path)
        with JobLock(folder).held(), pytest.raises(JobError, match=f"process {os.getpid()} on {HERE}"):
            folder.create(TrainConfig())
        assert list(tmp_path.iterdir()) == []

    def test_while_the_process_of_the_first_one_starts(self, folder: JobFolder) -> None:
        with folder.start(python=sys.executable) as started:
            with pytest.raises(JobError, match="is being worked on"):
                folder.create(ApplyConfig(model="m"))
            started.kill()
        assert folder.read_document()["kind"] == "train"

    def test_a_job_that_was_replaced_is_not_run(self, folder: JobFolder) -> None:
        expect = folder.create(TrainConfig())
        other = folder.create(ApplyConfig(model="m"))  # before the first one was started
        before = folder.job_file.read_bytes()
        with folder.start(expect=expect) as started:
            assert started.wait() == 1
        assert "has put another job into" in folder.log_file.read_text(encoding="utf-8")
        assert folder.job_file.read_bytes() == before and other == checksum(folder.read_document())
        assert folder.status().state == "starting"  # and its process is gone

    def test_many_at_once(self, tmp_path: Path) -> None:
        """One of them creates the job; all others are told."""
        folder = JobFolder(tmp_path / "job")
        command = [sys.executable, "-c", CREATOR, str(folder.path)]
        several = [
            subprocess.Popen([*command, f"data {i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for i in range(4)
        ]
        for one in several:
            assert one.stdout is not None and one.stdout.readline() == "owned\n"
        for one in several:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        said = [one.communicate()[0].strip() for one in several]
        starters = [index for index, text in enumerate(said) if text == "started"]
        assert [text for text in said if text != "started" and "is being worked on" not in text] == []
        ran = [event for event in EventReader(folder.events_file).read() if event["kind"] == "failed"]
        data = folder.read_document()["config"]["data"]["data_dir"]
        assert data in {f"data {index}" for index in starters}
        assert [data in event["message"] for event in ran] == [True]  # it does not exist, and nobody ran another one

    def test_a_request_to_stop_while_it_starts_is_kept(self, folder: JobFolder) -> None:
        folder.request_stop(STOP_NOW)  # of an earlier process: forgotten
        now = Status(state="starting", host=HERE, pid=os.getpid(), heartbeat=time.time())
        atomic.write_json(folder.status_file, asdict(now))
        folder.request_stop()
        with JobOwner(folder, "train"):
            assert folder.stop_requested() == STOP_KEEP_BEST


class TestReadDocument:
    def test_of_no_job_folder(self, tmp_path: Path) -> None:
        with pytest.raises(JobError, match=r"is not a job folder: it has no job\.json"):
            JobFolder(tmp_path).read_document()

    def test_that_is_no_json(self, folder: JobFolder) -> None:
        folder.job_file.write_text("{", encoding="utf-8")
        with pytest.raises(JobError, match=r"job\.json is not valid JSON"):
            folder.read_document()


class TestStop:
    @pytest.mark.parametrize("how", [STOP_KEEP_BEST, STOP_NOW])
    def test_request(self, folder: JobFolder, how: str) -> None:
        assert folder.stop_requested() is None
        folder.request_stop(how)
        assert folder.stop_requested() == how

    @pytest.mark.parametrize("content", ["", "please", " now\n"])
    def test_by_hand(self, folder: JobFolder, content: str) -> None:
        folder.stop_file.write_text(content, encoding="utf-8")
        assert folder.stop_requested() == (STOP_NOW if "now" in content else STOP_KEEP_BEST)


class TestStart:
    def test_runs_the_job_in_a_process_of_its_own(self, tmp_path: Path) -> None:
        folder = JobFolder(tmp_path / "job with spaces")
        folder.create(TrainConfig())
        folder.job_file.write_text('{"kind": "nonsense"}', encoding="utf-8")
        with folder.start() as started:
            assert started.wait() == 2
        status = folder.status()
        assert (status.state, status.pid) == ("failed", started.pid)
        assert "'nonsense' is no kind of job" in status.message

    def test_with_variables_that_are_not_the_callers(self, folder: JobFolder) -> None:
        python = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        with folder.start(environment={**python, "PYTHONHOME": str(folder.path)}) as started:
            assert started.wait() != 0  # with this as its home it finds no standard library
        assert "PYTHONHOME" in folder.log_file.read_text(encoding="utf-8")
        assert "PYTHONHOME" not in os.environ


class TestProcessExists:
    def test_of_this_and_of_an_ended_process(self) -> None:
        assert process_exists(os.getpid())
        assert not process_exists(dead_pid())
        assert not process_exists(0)
        assert not process_exists(-1)
