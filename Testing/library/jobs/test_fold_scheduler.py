"""Which fold trains when and where, what is asked of it, and how they end; with processes that are files only."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import Measured, Progress, Stage, Warned
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder, JobOwner
from MedSegTrainerLib.job_status import Status
from MedSegTrainerLib.jobs.fold_scheduler import FoldRuns, Worker, seconds_left
from MedSegTrainerLib.jobs.folds import CrossValidation
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.networks import build_network

PLANNED = 2  # looks after which the first fold has its plan
GPUS = (Worker(device="cuda:0"), Worker(device="cuda:1"))


def write_status(job: JobFolder, state: str, **values: Any) -> None:
    status = Status(state=state, host=socket.gethostname(), pid=os.getpid(), heartbeat=time.time(), **values)
    job.status_file.write_text(json.dumps(asdict(status)))


@dataclass
class Training:
    """A process that does its part whenever somebody waits: ``looks`` until it is done, and its
    ``end_state``: that of its status, or "died".

    deaf: requests to stop that it removes, as a process does that just starts. stops: how it answers one.
    """

    job: JobFolder
    looks: int = 5
    end_state: str = "finished"
    deaf: int = 0
    stops: bool = True
    age: int = 0
    code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def go_on(self) -> None:
        if self.code is not None:
            return
        self.age += 1
        if self.age == PLANNED and not self.job.plan_file.exists():
            self.job.plan_file.write_text(json.dumps({"patch_size": [8, 8, 8], "steps_per_epoch": 10}, indent=1))
        if self.deaf and self.job.stop_requested():
            self.deaf -= 1
            self.job.stop_file.unlink()
        elif self.stops and self.job.stop_requested():
            self.end("stopped", 0)
        elif self.age >= self.looks:
            self.end(self.end_state, 1 if self.end_state == "failed" else 0)
        else:
            write_status(self.job, "running", progress=self.age / self.looks, eta_seconds=10.0)

    def end(self, end_state: str, code: int) -> None:
        if end_state != "died":
            message = "the labels are odd" if end_state == "failed" else ""
            write_status(self.job, end_state, message=message, progress=1.0)
        self.code = 137 if end_state == "died" else code


@dataclass
class Machine:
    """Starts trainings and lets time pass. settings: of the training of a fold. at: what happens before a look."""

    cross_validation: CrossValidation
    settings: dict[int, dict[str, Any]] = field(default_factory=dict)
    at: dict[int, Any] = field(default_factory=dict)
    trainings: dict[int, Training] = field(default_factory=dict)
    devices: dict[int, str] = field(default_factory=dict)
    started: dict[int, int] = field(default_factory=dict)
    most_at_once: int = 0
    now: int = 0

    def start(self, job: JobFolder, worker: Worker) -> Training:
        index = int(job.path.name)
        assert worker.device not in [self.devices[other] for other in self.at_work()]
        document = job.read_document()["config"]
        assert document["trainer"]["device"] == worker.device and document["data"]["fold"] == index
        assert index == 0 or job.plan_file.exists()
        self.started[index], self.devices[index] = self.now, worker.device
        write_status(job, "starting")
        job.stop_file.unlink(missing_ok=True)
        self.trainings[index] = Training(job, **self.settings.get(index, {}))
        self.most_at_once = max(self.most_at_once, len(self.at_work()))
        return self.trainings[index]

    def at_work(self) -> list[int]:
        return [index for index, training in self.trainings.items() if training.code is None]

    def wait(self) -> None:
        self.now += 1
        assert self.now < 100
        for training in self.trainings.values():
            training.go_on()
        self.at.get(self.now, lambda: None)()


@pytest.fixture
def cross_validation(tmp_path: Path) -> CrossValidation:
    folder = JobFolder(tmp_path / "cv")
    folder.path.mkdir()
    names = [f"case {index}" for index in range(8)]
    folds = [{"train": names[: 2 * k] + names[2 * k + 2 :], "val": names[2 * k : 2 * k + 2]} for k in range(4)]
    dataset = Dataset(root=tmp_path, layout="", cases=())
    return CrossValidation(folder=folder, dataset=dataset, folds=folds, train=TrainConfig(), halved=False)


@pytest.fixture
def owner(cross_validation: CrossValidation) -> Iterator[JobOwner]:
    with JobOwner(cross_validation.folder, "cross-validate") as owner:
        yield owner


@pytest.fixture
def events() -> list[Any]:
    return []


def runs(machine: Machine, owner: JobOwner, events: list[Any], devices: tuple[Worker, ...] = GPUS) -> FoldRuns:
    return FoldRuns(machine.cross_validation, devices, owner, events.append, start=machine.start, wait=machine.wait)


class TestOrder:
    def test_as_many_at_once_as_places_and_the_first_alone_until_its_plan(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        machine = Machine(cross_validation, {0: {"looks": 9}})
        assert runs(machine, owner, events).run() is None
        assert machine.started == {0: 0, 1: PLANNED, 2: PLANNED + 5, 3: 9}
        assert machine.devices == {0: "cuda:0", 1: "cuda:1", 2: "cuda:1", 3: "cuda:0"} and machine.most_at_once == 2
        assert [cross_validation.job(index).status().state for index in range(4)] == ["finished"] * 4
        started = [event.message for event in events if isinstance(event, Stage)]
        assert started[1] == f"Fold 2 of 4 on cuda:1: {cross_validation.job(1).path}"

    def test_one_place_is_one_after_the_other(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        machine = Machine(cross_validation)
        runs(machine, owner, events, (Worker(device="auto"),)).run()
        assert list(machine.started.values()) == [0, 5, 10, 15] and machine.most_at_once == 1

    def test_all_have_the_plan_of_the_first_with_steps_for_their_cases(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        cross_validation.folds[2]["train"].extend(["more 1", "more 2", "more 3"])
        runs(Machine(cross_validation), owner, events).run()
        plans = [cross_validation.job(index).plan_file.read_text() for index in range(4)]
        assert plans[1] == plans[0] and plans[2] == plans[0].replace("10", "15")

    def test_finished_folds_are_left_alone_and_begun_ones_go_on_where_there_is_a_place(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        """As after a resume on a computer with one GPU less."""
        first = Machine(cross_validation, at={6: lambda: cross_validation.folder.request_stop(STOP_NOW)})
        runs(first, owner, events).run()
        cross_validation.folder.stop_file.unlink()
        states = [cross_validation.job(index).status().state for index in range(4)]
        assert states == ["finished", "stopped", "stopped", "created"]
        machine = Machine(cross_validation)
        assert runs(machine, owner, events, (Worker(device="auto"),)).run() is None
        assert machine.started == {1: 0, 2: 5, 3: 10}


class TestFound:
    def test_a_fold_left_at_work_is_watched_and_keeps_its_device(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        """Somebody killed the cross-validation, and not its folds."""
        machine = Machine(cross_validation)
        left = Training(cross_validation.make_job(0, "cuda:1"), looks=6)
        write_status(left.job, "running")
        machine.trainings[9], machine.devices[9] = left, "cuda:1"
        assert runs(machine, owner, events).run() is None
        assert machine.started == {1: PLANNED, 2: 6, 3: PLANNED + 5}
        assert machine.devices[1] == "cuda:0" and left.code == 0


class TestStop:
    @pytest.mark.parametrize("end_state", [STOP_KEEP_BEST, STOP_NOW])
    def test_it_reaches_every_fold_at_work_and_no_other_begins(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any], end_state: str
    ) -> None:
        machine = Machine(
            cross_validation, {1: {"deaf": 2}}, {3: lambda: cross_validation.folder.request_stop(end_state)}
        )
        assert runs(machine, owner, events).run() == end_state
        assert [cross_validation.job(index).status().state for index in range(2)] == ["stopped"] * 2
        assert list(machine.started) == [0, 1] and not machine.at_work()

    def test_before_the_first_fold(self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]) -> None:
        cross_validation.folder.request_stop(STOP_NOW)
        machine = Machine(cross_validation)
        assert runs(machine, owner, events).run() == STOP_NOW and not machine.started

    def test_too_late_to_change_anything(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        """The last folds end by themselves as it is asked."""
        deaf = {index: {"stops": False} for index in range(4)}
        machine = Machine(cross_validation, deaf, {11: lambda: cross_validation.folder.request_stop(STOP_KEEP_BEST)})
        assert runs(machine, owner, events).run() is None and len(machine.started) == 4

    def test_one_fold_that_is_stopped_by_itself_without_a_result_stops_all(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        machine = Machine(cross_validation, at={3: lambda: cross_validation.job(1).request_stop(STOP_NOW)})
        assert runs(machine, owner, events).run() == STOP_NOW
        assert cross_validation.job(0).status().state == "stopped" and list(machine.started) == [0, 1]

    def test_one_that_is_judged_is_done(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any], tiny_plan: Plan
    ) -> None:
        job = cross_validation.job(1)
        network = build_network(tiny_plan.architecture, tiny_plan.network)
        metrics = {"summary": {"kidney": {"dice": {"mean": 0.75}}}}

        def judged() -> None:
            save_package(ModelPackage(plan=tiny_plan, weights=network.state_dict(), metrics=metrics), job.model)
            (job.report / "predictions").mkdir(parents=True)
            (job.report / "metrics.json").write_text('{"length": "voxels"}')
            for name in cross_validation.folds[1]["val"]:
                (job.report / "predictions" / f"{name}.seg.nrrd").touch()
            job.request_stop(STOP_KEEP_BEST)

        machine = Machine(cross_validation, at={3: judged})
        assert runs(machine, owner, events).run() is None and len(machine.started) == 4
        (result,) = [event for event in events if isinstance(event, Measured)]
        assert result.metrics == {"kidney": {"dice": 0.75}} and (result.cases, result.length) == (2, "voxels")


class TestFailure:
    def test_the_others_are_stopped_first_and_go_on_later(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        machine = Machine(cross_validation, {0: {"looks": 30, "deaf": 2}, 1: {"end_state": "failed", "looks": 3}})
        with pytest.raises(JobError, match=r"Fold 2 failed: the labels are odd .*--resume"):
            runs(machine, owner, events).run()
        assert not machine.at_work() and cross_validation.job(0).status().state == "stopped"
        assert list(machine.started) == [0, 1]
        assert [event.message for event in events if isinstance(event, Warned)] == ["Fold 2 failed: the labels are odd"]
        again = Machine(cross_validation)
        assert runs(again, owner, events).run() is None and len(again.started) == 4

    def test_alone_it_is_told_once(self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]) -> None:
        with pytest.raises(JobError) as caught:
            runs(Machine(cross_validation, {0: {"end_state": "failed"}}), owner, events, GPUS[:1]).run()
        assert str(caught.value) == "Fold 1 failed: the labels are odd"
        assert not [event for event in events if isinstance(event, Warned)]

    @pytest.mark.parametrize("before", ["", "stopped"])
    def test_a_process_that_dies_is_told_with_its_log(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any], before: str
    ) -> None:
        """Also where only the status of an earlier process is left."""
        machine = Machine(cross_validation, {0: {"end_state": "died", "looks": 1}})
        if before:
            machine.start = lambda job, worker: (write_status(job, before), Training(job, code=1))[1]  # type: ignore
        with pytest.raises(JobError, match=r"fold 1 ended without a word.*log\.txt"):
            runs(machine, owner, events).run()


class TestEnd:
    def test_ctrl_c_leaves_nothing_at_work(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        machine = Machine(cross_validation, {0: {"looks": 50, "deaf": 3}, 1: {"looks": 50}}, {4: interrupt})
        with pytest.raises(KeyboardInterrupt):
            runs(machine, owner, events).run()
        assert not machine.at_work() and cross_validation.job(0).status().state == "stopped"

    def test_a_job_that_was_taken_over_leaves_its_folds_to_the_other_process(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        def take_over() -> None:
            cross_validation.folder.lock_file.write_text("elsewhere 1 2")
            owner.update()

        machine = Machine(cross_validation, {0: {"looks": 50}, 1: {"looks": 50}}, {4: take_over})
        with pytest.raises(JobError, match="taken over"):
            runs(machine, owner, events).run()
        assert machine.at_work() == [0, 1] and cross_validation.job(0).stop_requested() is None


class TestProgress:
    def test_it_is_that_of_all_folds(
        self, cross_validation: CrossValidation, owner: JobOwner, events: list[Any]
    ) -> None:
        machine = Machine(
            cross_validation, {0: {"looks": 10}, 1: {"looks": 10}}, {PLANNED + 2: lambda: events.append("look")}
        )
        looked = runs(machine, owner, events)

        def wait() -> None:
            machine.wait()
            looked.last_report = 0.0  # no waiting for the next report

        looked.wait = wait
        looked.run()
        reports = [event for event in events[events.index("look") :] if isinstance(event, Progress)]
        assert (reports[0].done, reports[0].total) == (600, 4000)  # 4 and 2 looks of 10
        assert [event.done for event in reports] == sorted(event.done for event in reports)
        assert owner._status.message.startswith("Fold") and owner._status.progress > 0.7

    @pytest.mark.parametrize(
        ("running", "durations", "waiting", "workers", "expected"),
        [
            ([(30.0, 70.0)], [], 3, 1, 370),  # 70, and three of 100
            ([(30.0, 70.0), (10.0, 90.0)], [], 3, 2, 270),  # 70 + 100 + 100, and 90 + 100
            ([(30.0, 70.0)], [], 2, 2, 170),  # one begins soon beside it, the other after that
            ([(40.0, None)], [100.0, 120.0], 0, 2, 70),  # as long as the others
            ([(40.0, None)], [], 1, 1, None),
        ],
    )
    def test_those_that_wait_take_the_next_free_place(
        self,
        running: list[tuple[float, float | None]],
        durations: list[float],
        waiting: int,
        workers: int,
        expected: float | None,
    ) -> None:
        assert seconds_left(running, durations, waiting, workers) == expected
